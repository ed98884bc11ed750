"""`python -m noiseproof` is the command line."""

import os
import sys

if sys.path and sys.path[0] == os.getcwd():
    del sys.path[0]  # `-m` puts the working folder first; a `torch.py` there is not ours to run

from noiseproof.cli import main

if __name__ == "__main__":
    main()
