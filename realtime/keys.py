# SPDX-License-Identifier: MIT
"""Key pairs for an encrypted stream: `python -m realtime.keys keys/publisher keys/clients/alice` creates them.

Both ends of the data path use them. realtime.wire.keys contains the code.
"""

from realtime.stdio import run_main
from realtime.wire.keys import Key, load_public, load_secret, main, make_key

__all__ = ["Key", "load_public", "load_secret", "main", "make_key"]

if __name__ == "__main__":
    run_main(main)
