"""Processes that share one piece of work: how they start, meet and talk."""
