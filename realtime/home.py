# SPDX-License-Identifier: MIT
"""Home folders in paths that a person gives: ~ and ~user.

Not part of the data path. Shells replace them only at the beginning of an unquoted word: in `--config=~/x.yaml`, in
`--source door=~/x.mp4` and in configuration files, the program must replace them itself.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def at_home(path: str) -> str:
    """Return the path, with a home folder instead of the ~ or ~user at its beginning.

    As in a shell, ~user stays as it is if there is no such user. Write ./~x for a file called ~x.

    >>> at_home("clip.mp4"), at_home("./~x"), at_home("~no one/x")
    ('clip.mp4', './~x', '~no one/x')

    Raises:
        ValueError: this user has no home folder.
    """
    if not path.startswith("~"):
        return path
    try:
        found = os.path.expanduser(path)  # noqa: PTH111 - Path raises for unknown users and changes the rest
    except ValueError:  # no name of a user
        found = path
    if path.partition("/")[0] == "~" and not Path(found).is_absolute():
        raise ValueError("this user has no home folder for the ~; set HOME, or give an absolute path")
    return found


def home_path(text: str) -> Path:
    """Return the path in the argument of a flag: the `type` of argparse.

    Raises:
        argparse.ArgumentTypeError: this user has no home folder.
    """
    try:
        return Path(at_home(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
