"""How a generator learns from pictures."""
