"""One router per resource; what it decides is in `handlers`."""
