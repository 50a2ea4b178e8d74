"""Readers that an endpoint has refused, and the hints in the log about what they need.

Used by publish.peers, which reads the events of the socket's monitor. ZeroMQ itself tells neither side anything.
"""

from __future__ import annotations

import errno
import logging
import math
from collections import Counter
from pathlib import Path

import zmq

from realtime.publish.connection import received_bytes
from realtime.publish.peer import Peer

log = logging.getLogger(__name__)

# The monitor's events of a failed handshake. EVENT_DISCONNECTED of the same connection follows each of them.
FAILURES = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
)
# Hints are logged at most this often (s). The second kind is about programs that may only check the port, as port scans
# and load balancers do, perhaps every few seconds.
_EVERY_S, _UNSURE_EVERY_S = 60.0, 86_400.0
_MOST_HINTS = 3  # in one line
# Events, with their values, that name the mistake. 400 is ZAP's status code for a refused key.
_UNKNOWN_KEY = zmq.EVENT_HANDSHAKE_FAILED_AUTH, 400
_MISMATCH = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
_NOT_OURS = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC
# A reader without keys sends between 12 bytes (signature and version) and 64 (its whole greeting), and the end of the
# connection counts as one. A reader with keys sends 202 more.
_GREETING_BYTES = range(12, 66)
_NO_KEY = "it needs a key pair (python -m realtime.keys)"
_NO_KEY_HERE = f"{_NO_KEY}, or publish.local_bind if it runs on this machine"
_OTHER_PUBLISHER = "it expects another publisher: its --curve-server must be the .key file of this one"


class Refusals:
    """Logs hints about refused readers, at most one line a minute.

    >>> refusals = Refusals("publish.bind", Path("keys/clients"))
    >>> refusals.begin(zmq.EVENT_HANDSHAKE_FAILED_AUTH, 400, "tcp://0.0.0.0:5555")
    >>> refusals.end(None)
    >>> refusals.tell(now_s=0.0)  # logs a hint
    """

    def __init__(self, key: str, folder: Path | None, has_local: bool = False) -> None:
        """Count no refusals yet.

        Args:
            key: the configuration key of the endpoints, named in the log.
            folder: the folder with the keys of the permitted readers; None: the endpoints want no keys.
            has_local: whether publish.local_bind offers the same stream.
        """
        self._key, self._folder = key, folder
        self._no_key = _NO_KEY_HERE if has_local else _NO_KEY
        self._hints: dict[tuple[int, int], str] = {_MISMATCH: "which takes no keys: start it without them"}
        if folder is not None:
            unknown_key = f"its key is not in {folder}: put its .key file there"
            self._hints = {_MISMATCH: self._no_key, _NOT_OURS: _OTHER_PUBLISHER, _UNKNOWN_KEY: unknown_key}
        self._failure: tuple[int, int, str] | None = None  # of the connection that ends next: event, value, endpoint
        self._counts: Counter[tuple[str, str]] = Counter()  # endpoint and hint: how often since the last line
        self._left_at: str | None = None  # endpoint that a program has left before it showed what it is
        self._due_s = self._unsure_due_s = -math.inf

    def begin(self, event: int, value: int, endpoint: str) -> None:
        """Take one of FAILURES, with the event's value and endpoint."""
        self._failure = event, value, endpoint

    def end(self, peer: Peer | None) -> None:
        """Take the end of a connection. Its handshake had failed if `begin` was called since the end before it.

        Args:
            peer: its other side, not closed yet; None if it is not known.
        """
        failure, self._failure = self._failure, None
        if failure is None or (peer is not None and peer.is_cut_off):
            return
        event, value, endpoint = failure
        if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            hint = self._hint_of_broken(value, endpoint, peer)
        else:
            hint = self._hints.get((event, value))
        if hint is not None:
            self._counts[endpoint, hint] += 1

    def tell(self, now_s: float) -> None:
        """Log the hints that are due.

        Args:
            now_s: monotonic time.
        """
        if self._counts and now_s >= self._due_s:
            hints = [
                f"at {endpoint}, {hint}" + (f" ({count} times)" if count > 1 else "")
                for (endpoint, hint), count in self._counts.most_common(_MOST_HINTS)
            ]
            what = "with keys" if self._folder is None else "without a valid key"
            log.warning("%s: a reader %s was refused: %s", self._key, what, "; ".join(hints))
            self._counts.clear()
            self._due_s = now_s + _EVERY_S
        left_at, self._left_at = self._left_at, None
        # Soon after the line above, it is probably a reader that this line has told about.
        if left_at is not None and now_s >= max(self._due_s, self._unsure_due_s):
            log.info(
                "%s: a program connected to %s and left at once: if it is a reader, %s",
                self._key,
                left_at,
                self._no_key,
            )
            self._unsure_due_s = now_s + _UNSURE_EVERY_S

    def _hint_of_broken(self, error: int, endpoint: str, peer: Peer | None) -> str | None:
        """The hint for a connection that ended during the handshake.

        A reader without keys may notice that they are wanted before libzmq here notices that it has none. It then
        leaves, and doesn't return. The number of bytes distinguishes it from other programs that leave at once.
        """
        if self._folder is None or error != errno.EPIPE:
            return None
        sent_bytes = received_bytes(peer.connection) if peer is not None and peer.connection is not None else None
        if sent_bytes is None:  # ipc, or it has left before we could look
            self._left_at = endpoint
            return None
        return self._no_key if sent_bytes in _GREETING_BYTES else None
