"""What is told to whom, and how a message is spelled and signed: no IO, no clock."""
