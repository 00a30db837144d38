"""``python -m sparseot.command solve x.npy y.npy --blur 0.01 --out plan/``, alone or started by torchrun."""

import sys

from .solve import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
