"""Measurements of the harness itself: what its bounds are worth, what it misses, how fast and how steady it is."""
