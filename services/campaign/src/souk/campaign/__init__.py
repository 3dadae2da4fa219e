"""Campaign: organisations, users, briefs and terms."""
