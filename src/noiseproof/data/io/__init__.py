"""Safe reading of files that nobody vouches for: archives, numpy files, pickles, label files; and downloads."""
