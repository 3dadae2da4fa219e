"""Use cases: load, decide, save, publish. None commits."""
