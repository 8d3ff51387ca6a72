"""The demo: real orders of a distributor, replayed fast through a real daemon."""
