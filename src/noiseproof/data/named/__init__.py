"""Data sets that have a name, each in one file; every module of this folder is imported and registers its own."""
