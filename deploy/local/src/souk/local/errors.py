"""The one kind of failure that the `souk` command shows to a person."""


class StackError(Exception):
    """Something outside souk is in the way; the message is one sentence that says what to do."""
