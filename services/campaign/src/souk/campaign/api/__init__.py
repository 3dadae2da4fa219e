"""The service's resources: requests and responses; the rules are elsewhere."""
