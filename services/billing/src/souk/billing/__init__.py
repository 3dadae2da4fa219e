"""Billing: every amount."""
