"""What outlives the process: one transaction a turn, in one SQLite file."""
