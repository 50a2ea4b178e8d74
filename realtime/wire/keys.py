# SPDX-License-Identifier: MIT
"""Key pairs for an encrypted stream, which only permitted readers can decrypt (ZeroMQ's CURVE, Curve25519).

They are loaded at the end of the data path: by publish.socket, and by realtime.client in the reader's program.

    python -m realtime.keys keys/publisher keys/clients/alice keys/clients/bob

This creates two files per name: NAME.key, the public key, and NAME.key_secret, the secret key, which must stay with its
owner. The publisher needs its own secret key and the public keys of the permitted readers. A reader needs its own
secret key and the publisher's public key.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zmq
import zmq.auth

from realtime.printable import Parser, printable, say

SECRET_SUFFIX = ".key_secret"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class Key:
    """A key pair in ZeroMQ's text form (Z85, 40 characters each).

    Attributes:
        public: the public key.
        secret: the secret key; None if only the public key is known.
    """

    public: bytes
    secret: bytes | None = field(repr=False)


def make_key(name: Path) -> tuple[Path, Path]:
    """Create a key pair and write it to two files, which only their owner can read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     public, secret = make_key(Path(folder) / "alice")
    >>> public.name, secret.name
    ('alice.key', 'alice.key_secret')

    Args:
        name: path of the files without their suffix. Missing folders are created.

    Returns:
        The file of the public key, and the file of the secret key.

    Raises:
        ValueError: one of the files already exists, or can't be written.
    """
    files = name.with_name(name.name + ".key"), name.with_name(name.name + SECRET_SUFFIX)
    for file in files:
        if file.exists():
            raise ValueError(f"{file} already exists and is not overwritten: choose another name")
    before = os.umask(0o077)  # pyzmq would let all users read the secret key
    try:
        name.parent.mkdir(parents=True, exist_ok=True)
        zmq.auth.create_certificates(name.parent, name.name)
    except OSError as error:
        raise ValueError(f"{name}: can't be written: {error.strerror}") from None
    finally:
        os.umask(before)
    return files


def load_secret(file: Path) -> Key:
    """Load a key pair from the file of its secret key, which contains the public key too.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     public, secret = make_key(Path(folder) / "alice")
    ...     key = load_secret(secret)
    ...     key.public == load_public(public).public
    True
    >>> len(key.public), len(key.secret)
    (40, 40)

    Raises:
        ValueError: the file can't be read, contains no secret key, or can be accessed by other users.
    """
    key = _load(file)
    if key.secret is None:
        raise ValueError(f"{file}: contains no secret key, expected a file that ends in {SECRET_SUFFIX}")
    if os.name == "posix" and file.stat().st_mode & 0o077:
        raise ValueError(f"{file}: other users can access this secret key: run chmod 600 {file}")
    return key


def load_public(file: Path) -> Key:
    """Load a public key from its file. The file of the secret key works too, but the secret key is not loaded.

    Raises:
        ValueError: the file can't be read, or contains no key.
    """
    return Key(_load(file).public, None)


def _load(file: Path) -> Key:
    try:
        public, secret = zmq.auth.load_certificate(file)
    except (OSError, ValueError):
        reason = "contains no readable key" if file.is_file() else "no such file"
        raise ValueError(f"{file}: {reason}: create one with python -m realtime.keys") from None
    return Key(public, secret)


def main(arguments: Sequence[str] | None = None) -> int:
    """Create key pairs.

    Returns:
        Exit code: 0, or 2 if a key pair can't be created; the names after it are skipped.
    """
    parser = Parser(
        prog="python -m realtime.keys",
        description="Create key pairs for an encrypted stream: NAME.key, the public key, and NAME.key_secret, the "
        "secret key, which must stay with its owner.",
        epilog="Start the publisher with --publish.curve-secret keys/publisher.key_secret. It accepts the readers "
        "whose public keys are in the folder 'clients' next to that file. Start a reader with "
        "--curve-secret alice.key_secret --curve-server publisher.key.",
    )
    parser.add_argument(
        "name", nargs="+", type=Path, help="path without suffix: keys/publisher, keys/clients/alice, ..."
    )
    for name in parser.parse_args(arguments).name:
        try:
            public, secret = make_key(name)
        except ValueError as error:
            say(str(error))
            return 2
        sys.stdout.write(printable(f"created {public} (public) and {secret} (secret)") + "\n")
    return 0
