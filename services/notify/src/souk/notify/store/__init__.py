"""Tables and queries of notify."""
