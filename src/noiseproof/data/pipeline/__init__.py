"""From stored pictures to training batches: decoding, augmentation, cache, batches."""
