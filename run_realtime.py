"""Real-time multi-person pose tracking from cameras and files: `python run_realtime.py --help`."""

import sys

from realtime.cli import main

if __name__ == "__main__":
    sys.exit(main())
