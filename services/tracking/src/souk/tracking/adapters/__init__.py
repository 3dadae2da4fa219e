"""Outside systems: social platforms behind one port, and what shops send."""
