"""Stand-ins for other people's services, speaking their real protocols; part of no service."""
