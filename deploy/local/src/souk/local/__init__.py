"""Souk on one machine: the stack, the suite, stand-ins, tokens and the demo."""
