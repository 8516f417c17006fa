"""How good generated pictures and shapes are."""
