"""Cells as two arms, and all running comparisons of all releases as rows of columns."""
