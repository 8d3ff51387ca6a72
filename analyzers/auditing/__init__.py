"""How often the judge is wrong on the user's own recorded data."""
