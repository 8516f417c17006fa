"""Procedural objects of several kinds, with no end of them."""
