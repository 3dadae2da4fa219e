"""What the campaign service decides: briefs, periods, statuses, levels. Pure."""
