"""Processes that divide work: starting, synchronising and communicating."""
