"""Files, folders and standard input: read as a whole, or followed as they grow."""
