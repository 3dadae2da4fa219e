"""HTTP of notify, one router per resource."""
