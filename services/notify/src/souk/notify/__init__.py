"""Tells people what happened to their campaigns and payments, never twice (domain.md §7)."""
