"""`python -m skcovid`, which is the `skcovid` command."""

import sys

from skcovid.command import main

if __name__ == "__main__":
    sys.exit(main())
