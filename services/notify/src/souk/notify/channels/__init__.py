"""Ways out: mail and web push."""
