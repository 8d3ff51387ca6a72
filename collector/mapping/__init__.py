"""Foreign messages as lines of our own events, as a configuration says."""
