"""Datasets: what a folder is, how it is made, checked and read."""
