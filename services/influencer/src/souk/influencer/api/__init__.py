"""Routes of the influencer service, one router per resource."""
