# SPDX-License-Identifier: MIT
"""Keys for a stream that leaves this machine: who publishes, and who may read (ZeroMQ's CURVE, Curve25519).

    python -m realtime.keys keys/publisher keys/clients/alice keys/clients/bob

Of each name two files are made: NAME.key, the public key, and NAME.key_secret, for its owner alone. The publisher holds
its secret key and the public keys of those who may read; a reader holds its secret key and the publisher's public key.
Used by publish.zmq_pub and by the client.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zmq
import zmq.auth

SECRET_SUFFIX = ".key_secret"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class Key:
    """A key pair as ZeroMQ writes it (Z85); `secret` is None where only the public key is known."""

    public: bytes
    secret: bytes | None = field(repr=False)


def make_key(name: Path) -> tuple[Path, Path]:
    """Make a key pair; the files of its public and its secret key. The secret one is for its owner alone.

    Raises:
        ValueError: one of the files is there already, or can't be written.
    """
    files = name.with_name(name.name + ".key"), name.with_name(name.name + SECRET_SUFFIX)
    for file in files:
        if file.exists():
            raise ValueError(f"{file} is there already: it is not replaced, give another name")
    before = os.umask(0o077)  # pyzmq would let everybody read the secret key
    try:
        name.parent.mkdir(parents=True, exist_ok=True)
        zmq.auth.create_certificates(name.parent, name.name)
    except OSError as error:
        raise ValueError(f"{name}: can't be written: {error.strerror}") from None
    finally:
        os.umask(before)
    return files


def load_secret(file: Path) -> Key:
    """A key pair from its secret file.

    Raises:
        ValueError: it can't be read, holds no secret key, or others may read it.
    """
    key = _load(file)
    if key.secret is None:
        raise ValueError(f"{file} holds no secret key, expected the file that ends in {SECRET_SUFFIX}")
    if os.name == "posix" and file.stat().st_mode & 0o077:
        raise ValueError(f"others may read {file}: chmod 600 {file}")
    return key


def load_public(file: Path) -> Key:
    """A public key from its file.

    Raises:
        ValueError: it can't be read or holds no key.
    """
    return Key(_load(file).public, None)


def _load(file: Path) -> Key:
    try:
        public, secret = zmq.auth.load_certificate(file)
    except (OSError, ValueError):
        reason = "holds no key" if file.is_file() else "no such file"
        raise ValueError(f"{file}: {reason}: make one with python -m realtime.keys") from None
    return Key(public, secret)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make key pairs.

    Returns:
        Exit code: 0, or 2 when one can't be made.
    """
    parser = argparse.ArgumentParser(
        prog="python -m realtime.keys",
        description="Make key pairs: NAME.key, which others may have, and NAME.key_secret, which nobody else may.",
        epilog="The publisher: --publish.curve-secret keys/publisher.key_secret; who may read has a public key in the "
        "folder clients beside it. A reader: --curve-secret alice.key_secret --curve-server publisher.key.",
    )
    parser.add_argument("name", nargs="+", type=Path, help="keys/publisher, keys/clients/alice, ...")
    for name in parser.parse_args(arguments).name:
        try:
            public, secret = make_key(name)
        except ValueError as error:
            sys.stderr.write(f"{error}\n")
            return 2
        sys.stdout.write(f"{public} (public), {secret} (keep it to its owner)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
