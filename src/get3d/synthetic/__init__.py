"""Procedural objects of several kinds."""
