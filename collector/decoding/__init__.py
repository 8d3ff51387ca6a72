"""Lines of our own format as facts, markers and rejects: the one judge of what is valid."""
