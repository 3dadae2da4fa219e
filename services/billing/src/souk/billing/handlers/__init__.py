"""Use cases: load → decide → save → publish. They never commit."""
