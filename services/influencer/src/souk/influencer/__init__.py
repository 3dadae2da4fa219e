"""Influencers, who of them may take part in what, and who does."""
