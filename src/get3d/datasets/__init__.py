"""Datasets: index, loader, shards, packing, cache, validation, complete check."""
