"""Contracts of souk: what crosses a boundary between services, or to other systems."""
