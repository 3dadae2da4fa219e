"""A marketplace month on real servers, played through the public API."""
