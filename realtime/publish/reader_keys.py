"""The keys of an encrypted stream: the publisher's own, and those of its readers, which may change during the run.

Used by publish.socket. All sockets of a run share one set of readers. A thread looks at the folder of their keys every
two seconds, so that neither a slow disk nor a flood of handshakes delays anything but the keys themselves.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from realtime.config import PublishConfig
from realtime.errors import OutputError
from realtime.wire.keys import FileState, Key, key_files, load_permitted, load_reader, load_secret, state_of
from realtime.wire.writers import changed_by_others

log = logging.getLogger(__name__)

# How often the folder is looked at (s). A file that can't be read gets one more look, because it may be half-written:
# whatever happens, a change holds within 5 s.
_LOOK_S = 2.0
# How long closing waits for a look that has begun (s). On a server that is gone, it may never end.
_JOIN_S = 1.0
# At most this many files are named in one line of the log.
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class _File:
    """A key file at the last look: its state and its key, or else why it has none."""

    state: FileState | None
    key: bytes | None
    trouble: str = ""


class ReaderKeys:
    """The publisher's key pair and the permitted readers. Any thread may use it.

    While a file of the folder can't be used, the others hold. While the folder can't be read, all keys hold that held
    before. While other users can change it, keys are only removed.

    >>> import tempfile
    >>> from realtime.wire.keys import make_key
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     publisher, alice = (make_key(Path(folder) / name) for name in ("publisher", "clients/alice"))
    ...     keys = ReaderKeys(publisher[1], Path(folder) / "clients")
    ...     keys.who().replace(folder, "FOLDER")
    'readable with the only key in FOLDER/clients'

    Attributes:
        own: the publisher's key pair.
        folder: the folder with the public keys of the readers.
    """

    def __init__(self, secret: Path, folder: Path) -> None:
        """Load all keys.

        Args:
            secret: the file of the publisher's secret key.
            folder: the folder with the public keys of the readers.

        Raises:
            ValueError: a key can't be read, the folder contains no reader's key, or other users can change it.
        """
        self.own: Key = load_secret(secret)
        self.folder = folder
        self._held: dict[str, bytes] = load_permitted(folder)  # file name: key
        self._permitted = frozenset(self._held.values())
        self._files: dict[str, _File] = {}
        self._doubtful: set[str] = set()  # files that could not be used at the last look
        self._warned: dict[str, str] = {}  # file name, or "" for the folder: the trouble that was logged
        self._users, self._lock = 0, threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def who(self) -> str:
        """Say who can read, in words for the log."""
        count = len(self._permitted)
        return f"readable with {'the only key' if count == 1 else f'one of {count} keys'} in {self.folder}"

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether the reader with this public key may connect. pyzmq's authenticator calls it."""
        return key in self._permitted

    def open(self) -> None:
        """Begin to use the keys. The first user starts the thread that looks at the folder."""
        with self._lock:
            self._users += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="reader-keys", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop using the keys. The last user ends the thread."""
        with self._lock:
            self._users -= 1
            if self._users or self._thread is None:
                return
        self._over.set()
        self._thread.join(_JOIN_S)

    def look(self) -> None:
        """Look at the folder, and take over its keys. Called by the thread."""
        try:
            paths, harm = key_files(self.folder), changed_by_others(self.folder)
        except (OSError, ValueError) as error:
            why = f"{error.filename or self.folder}: {error.strerror}" if isinstance(error, OSError) else str(error)
            self._warn({"": f"{why}; the keys that were there before still hold"})
            return
        if harm is not None:  # a file that is still there keeps the key that it had
            self._warn({"": f"{harm}, after checking its keys; until then, no key is added"})
            self._take({path.name: self._held[path.name] for path in paths if path.name in self._held})
            return
        self._files = {path.name: self._read(path) for path in paths}
        troubles = {name: file.trouble for name, file in self._files.items() if file.key is None}
        self._warn({name: f"{troubles[name]}; it is not used" for name in troubles.keys() & self._doubtful})
        now = {name: file.key for name, file in self._files.items() if file.key is not None}
        # A file that was fine or new at the last look may be half-written.
        now |= {name: self._held[name] for name in (troubles.keys() - self._doubtful) & self._held.keys()}
        self._doubtful = set(troubles)
        self._take(now)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_S):
            self.look()

    def _read(self, file: Path) -> _File:
        """Read a key file, unless it had a key at the last look and is still the same."""
        try:
            state = state_of(file)
            last = self._files.get(file.name)
            return last if last is not None and last.state == state else _File(state, load_reader(file))
        except OSError as error:
            return _File(None, None, f"{file}: {error.strerror}")
        except ValueError as error:
            return _File(None, None, str(error))

    def _take(self, now: Mapping[str, bytes]) -> None:
        """Let these keys hold from now on, and log the changes."""
        before, self._held = self._held, dict(now)
        if before == self._held:
            return
        self._permitted = frozenset(now.values())
        changes = {
            "added": now.keys() - before.keys(),
            "changed": {name for name in now.keys() & before.keys() if now[name] != before[name]},
            "removed": before.keys() - now.keys(),
        }
        told = "; ".join(f"{what}: {_named(names)}" for what, names in changes.items() if names)
        if self._permitted:
            log.info("reader keys: %d (%s)", len(self._permitted), told)
        else:
            log.warning("reader keys: 0 (%s); no reader can connect until %s has a key", told, self.folder)

    def _warn(self, troubles: dict[str, str]) -> None:
        """Log the troubles that are new, in a line for the files and one for the folder."""
        new = {name: text for name, text in troubles.items() if self._warned.get(name) != text}
        if "" in self._warned and "" not in troubles:
            log.info("reader keys: %s can be used again", self.folder)
        if (text := new.pop("", None)) is not None:
            log.warning("reader keys: %s", text)
        if new:
            more = f" (and {len(new) - 1} more files that can't be used)" if len(new) > 1 else ""
            log.warning("reader keys: %s%s", new[min(new)], more)
        # While the folder can't be read, nothing new is known of its files.
        self._warned = self._warned | troubles if "" in troubles else troubles


def reader_keys(config: PublishConfig) -> ReaderKeys | None:
    """Load the keys of a run; None if its stream is not encrypted.

    Raises:
        OutputError: a key can't be read, the folder contains no reader's key, or other users can change it.
    """
    if config.curve_secret is None or config.clients is None:
        return None
    try:
        return ReaderKeys(config.curve_secret, config.clients)
    except ValueError as error:
        raise OutputError(f"publish.curve_secret: {error}") from None


def _named(names: set[str]) -> str:
    first = sorted(names)[:_MOST_NAMED]
    more = f" and {len(names) - len(first)} more" if len(names) > len(first) else ""
    return ", ".join(first) + more
