"""The training loop, what it records, and what may be done along the way."""
