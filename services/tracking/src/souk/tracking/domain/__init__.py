"""Pure decisions about posts, links, clicks and orders: no IO, no clock, no framework (domain.md §4, §5)."""
