"""The tracking service: accounts, posts, links, clicks and conversions of participations."""
