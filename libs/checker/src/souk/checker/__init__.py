"""Whether databases and topics agree: read from outside, never written, by nothing but the contracts."""
