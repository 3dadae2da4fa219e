"""Tables of tracking's own database, and the queries on them."""
