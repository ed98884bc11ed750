"""Readers: one file format or data set a file, each from files on the disk to a `Data`."""
