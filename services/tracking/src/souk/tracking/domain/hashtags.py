"""What counts as a hashtag of a piece of content (domain.md §4)."""

from collections.abc import Iterable

MOST = 500


def hashtags_of(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags in lower case without blanks, sorted; at most 500, which is more than a platform takes.

    Words with `#` in titles and descriptions are none: a platform's tags are the one thing that all its
    clients show alike.
    """
    found = {"".join(tag.split()).lower() for tag in tags} - {""}
    return tuple(sorted(found)[:MOST])
