"""Tables of the influencer service and the queries on them."""
