"""Tables of the campaign service and the queries on them."""
