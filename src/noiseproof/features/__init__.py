"""Feature vectors of pictures, made without any label."""
