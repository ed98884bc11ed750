"""Process around a run: its settings, its resources, its signs of progress, and the code of the user in it."""
