"""Use cases of notify: load, decide, save, publish; none commits."""
