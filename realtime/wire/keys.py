# SPDX-License-Identifier: MIT
"""Key pairs for an encrypted stream, which only permitted readers can decrypt (ZeroMQ's CURVE, Curve25519).

They are loaded at the end of the data path: by publish.reader_keys, and by realtime.client in the reader's program.

    python -m realtime.keys keys/publisher keys/clients/alice keys/clients/bob

This creates two files per name: NAME.key, the public key, and NAME.key_secret, the secret key, which must stay with its
owner. The publisher needs its own secret key and the public keys of the permitted readers. A reader needs its own
secret key and the publisher's public key.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from realtime.home import home_path
from realtime.printable import Parser, printable, say
from realtime.wire.small_file import read_small
from realtime.wire.writers import changed_by_others

SECRET_SUFFIX = ".key_secret"  # noqa: S105 - a name
# ZeroMQ's format of certificates. The function of zmq.auth that writes it would overwrite an earlier key.
_PUBLIC = '# made by realtime.keys\n\nmetadata\ncurve\n    public-key = "{public}"\n'
_SECRET = '    secret-key = "{secret}"\n'  # noqa: S105 - a line without its value
# A key file has 400 bytes, most of them comments.
_MOST_BYTES = 16 * 1024
_KEY_BYTES = 32
# The largest folder of readers' keys, in files. A running publisher looks at all of them every two seconds.
MOST_FILES = 2000

FileState = tuple[int, int, int, int, int, int, int]


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
    public, secret = (key.decode() for key in zmq.curve_keypair())
    texts = _PUBLIC.format(public=public), (_PUBLIC + _SECRET).format(public=public, secret=secret)
    before = os.umask(0o077)
    try:
        name.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as on_error:  # half a pair is of no use
            for file, text in zip(files, texts, strict=True):
                _create(file, text)
                on_error.callback(file.unlink)
            on_error.pop_all()
    except OSError as error:
        raise ValueError(f"{name}: can't be written: {error.strerror}") from None
    finally:
        os.umask(before)
    return files


def _create(file: Path, text: str) -> None:
    """Write a new file, or leave none behind."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ValueError(f"{file} already exists and is not overwritten: choose another name") from None
    try:
        with open(descriptor, "w", encoding="ascii") as out:  # noqa: PTH123 - of an open descriptor
            out.write(text)
    except OSError:
        file.unlink()
        raise


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


def load_permitted(folder: Path) -> dict[str, bytes]:
    """Load the public keys of the permitted readers: the files *.key in a folder.

    Anyone who can write a key into the folder can read the stream.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     public, secret = make_key(Path(folder) / "alice")
    ...     load_permitted(Path(folder)) == {"alice.key": load_public(public).public}
    True

    Args:
        folder: the folder.

    Returns:
        File name to key, in ZeroMQ's text form.

    Raises:
        ValueError: other users can change the folder or a key; it contains no key; or one can't be read.
    """
    try:
        files = key_files(folder)
        reason = changed_by_others(folder)
    except OSError as error:
        raise ValueError(
            f"{error.filename or folder}: can't be read: {error.strerror}; expected a folder with the permitted "
            "readers' public keys (*.key)"
        ) from None
    if reason is not None:
        raise ValueError(f"anyone who can add a key to {folder} could read the stream, and {reason}")
    if not files:
        raise ValueError(f"no reader's public key (*.key) in {folder}: add one, or the stream can't be read")
    return {file.name: load_reader(file) for file in files}


def key_files(folder: Path) -> list[Path]:
    """List the files *.key in a folder, sorted. Nothing is read.

    Raises:
        OSError: the folder can't be read.
        ValueError: it has too many files.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in itertools.islice(entries, MOST_FILES + 1)]
    if len(names) > MOST_FILES:
        raise ValueError(f"{folder}: contains more than {MOST_FILES:,} files, expected a folder of readers' keys")
    return sorted(folder / name for name in names if name.endswith(".key") and not name.startswith("."))


def load_reader(file: Path) -> bytes:
    """Load a reader's public key from a file that no other user can change.

    Raises:
        ValueError: the file can't be read, contains no key, or other users can change it.
    """
    try:
        is_file, reason = stat.S_ISREG(file.stat().st_mode), changed_by_others(file)
    except OSError as error:
        raise ValueError(f"{file}: can't be read: {error.strerror}") from None
    if not is_file:  # reading a pipe could take long
        raise ValueError(f"{file}: not a regular file, expected a reader's public key")
    if reason is not None:
        raise ValueError(f"anyone who can change the key {file} could read the stream, and {reason}")
    return load_public(file).public


def state_of(file: Path) -> FileState:
    """Return the state of a file, which is another one once the file, its owner or its permissions have changed.

    Raises:
        OSError: it is missing, or can't be reached.
    """
    status = file.stat()
    times = status.st_mtime_ns, status.st_ctime_ns
    return status.st_dev, status.st_ino, status.st_size, *times, status.st_mode, status.st_uid


def load_public(file: Path) -> Key:
    """Load a public key from its file. The file of the secret key works too, but the secret key is not loaded.

    Raises:
        ValueError: the file can't be read, or contains no key.
    """
    return Key(_load(file).public, None)


def _load(file: Path) -> Key:
    try:
        data = read_small(file, _MOST_BYTES)
    except ValueError as error:
        raise ValueError(f"{file}: {error}; create a key with python -m realtime.keys") from None
    # Parsed like pyzmq does, line by line. A comment may contain anything.
    found: dict[bytes, bytes] = {}
    for line in data.splitlines():
        name, _, value = line.strip().partition(b"=")
        found.setdefault(name.strip(), value.strip(b" \t'\""))
    public, secret = found.get(b"public-key"), found.get(b"secret-key")
    if public is None or not all(_is_key(key) for key in (public, secret) if key is not None):
        raise ValueError(f"{file}: contains no readable key: create one with python -m realtime.keys")
    return Key(public, secret)


def _is_key(text: bytes) -> bool:
    """Whether a text is a key in ZeroMQ's text form."""
    try:
        return len(z85.decode(text)) == _KEY_BYTES
    except (ValueError, KeyError, struct.error):
        return False


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
        "name", nargs="+", type=home_path, help="path without suffix: keys/publisher, keys/clients/alice, ..."
    )
    for name in parser.parse_args(arguments).name:
        try:
            public, secret = make_key(name)
        except ValueError as error:
            say(str(error))
            return 2
        sys.stdout.write(printable(f"created {public} (public) and {secret} (secret)") + "\n")
    return 0
