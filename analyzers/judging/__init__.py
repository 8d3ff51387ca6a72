"""What the comparisons of a release say together, and what is told of it."""
