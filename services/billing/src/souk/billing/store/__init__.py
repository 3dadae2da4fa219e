"""Tables of billing's own database, and the queries on them."""
