"""What a dataset is and how it is read: index, loader, shards, packing, cache, validation, deep check."""
