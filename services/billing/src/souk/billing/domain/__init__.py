"""Pure decisions about money: no IO, no clock, no framework (domain.md §6)."""
