"""What the influencer service decides: eligibility, statuses, participation. Pure."""
