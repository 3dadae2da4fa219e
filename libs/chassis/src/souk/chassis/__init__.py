"""How a service runs. Knows no domain."""
