"""The process that answers tracking links: it needs neither Kafka nor the database to lead on."""
