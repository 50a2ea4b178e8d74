"""Downloads the files of an HLS stream over HTTP, with limits on time, size and redirects.

Used by capture.follow and capture.nested. Errors raised here contain no secrets of a URL.
"""

from __future__ import annotations

import functools
from types import TracebackType
from typing import NamedTuple

from realtime.capture.addresses import encoded, with_login, without_login
from realtime.capture.connection import Connection, OddAnswerError
from realtime.capture.dialogue import Dialogue, Reply
from realtime.capture.login import challenge_of, has_login
from realtime.capture.redirects import MAX_REDIRECTS, is_redirect, next_url, too_often, why_refused
from realtime.capture.refusals import FAILED, REFUSALS, UNKNOWN_LOGIN, failure
from realtime.capture.tls import Tls
from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

# Largest playlist (bytes). One that lists a day in segments of 2 s is about this large.
PLAYLIST_BYTES = 4 << 20
# Largest segment or initialisation section (bytes): 6 s at 45 Mbit/s, which is more than 4K cameras send.
SEGMENT_BYTES = 32 << 20
_CHUNK_BYTES = 1 << 16


class Part(NamedTuple):
    """A part of a file: the index of its first byte and of the byte after its last one."""

    start: int
    end: int


class Downloads:
    """Downloads the files of one HLS stream. Only `stop` may be called from another thread.

    The login in the configured address is sent to its own scheme, host and port only.

    Args:
        root: the address that the user configured.
        tls: how to treat the server's certificate.

    Attributes:
        name: the configured address as shown to the user.
    """

    def __init__(self, root: str, tls: Tls = Tls()) -> None:  # noqa: B008 - immutable
        self._root = encoded(root)
        self.name = shown(root)
        self._tls = tls
        self._context = functools.cache(tls.context)  # reading the system's certificates takes 15 ms
        self._connection: Connection | None = None
        self._kept: tuple[str, Dialogue] | None = None  # an address, and an idle dialogue with its server
        self._is_stopped = False

    def get(self, url: str, most_bytes: int, ends_s: float, led_from: str | None = None) -> tuple[bytes, str]:
        """Download a whole file.

        Args:
            url: its address.
            most_bytes: largest size in bytes.
            ends_s: deadline in monotonic seconds.
            led_from: the address of the playlist that names the file; None if the user configured it.

        Returns:
            The file, and the URL from which it came after redirects.

        Raises:
            SourceError: it can't be downloaded.
        """
        with self.open(url, ends_s, led_from) as file:
            return file.rest(most_bytes), file.url

    def open(
        self, url: str, ends_s: float, led_from: str | None = None, part: Part | None = None, *, keep: bool = False
    ) -> OpenFile:
        """Request a file, which is then read piece by piece.

        Args:
            url: its address.
            ends_s: deadline in monotonic seconds. `OpenFile.read` can extend it.
            led_from: the address of the playlist that names the file; None if the user configured it.
            part: the part of the file that is needed; None for the whole file.
            keep: keep the connection for the next request of the same file. `close` ends it.

        Raises:
            SourceError: it can't be downloaded.
        """
        if led_from is not None and (why := why_refused(led_from, url, self._tls, ends_s)) is not None:
            raise SourceError(f"{self.name}: leads to {why}", SourceReason.REDIRECT)
        fields = [] if part is None else [f"Range: bytes={part.start}-{part.end - 1}"]
        at = with_login(encoded(url), self._root)
        for _ in range(MAX_REDIRECTS + 1):
            dialogue, reply = self._ask(at, fields, ends_s)
            if not is_redirect(reply):
                return self._opened(dialogue, reply, at, part, keep)
            dialogue.close()
            at = next_url(at, reply, self._tls, ends_s)
        raise too_often(url)

    def stop(self) -> None:
        """Make the current download, and any later one, fail."""
        self._is_stopped = True
        if (connection := self._connection) is not None:
            connection.cut()

    def close(self) -> None:
        """End the connection that was kept. May be called more than once."""
        if self._kept is not None:
            self._kept[1].close()

    def _ask(self, url: str, fields: list[str], ends_s: float) -> tuple[Dialogue, Reply]:
        kept, self._kept = self._kept, None
        dialogue = None
        try:
            if kept is not None and (reply := self._ask_again(*kept, url, fields, ends_s)) is not None:
                return kept[1], reply
            dialogue = Dialogue(url, ends_s, self._context, self._note)
            return dialogue, dialogue.ask("GET", "Accept: */*", *fields, login=True)
        except (OddAnswerError, SourceError) as error:
            if dialogue is not None:
                dialogue.close()
            failed = error if isinstance(error, SourceError) else failure(url, FAILED)
        # Raised outside of the `except` block: inside, Python would attach the other exception.
        try:
            raise failed
        finally:
            del failed

    def _ask_again(self, at: str, dialogue: Dialogue, url: str, fields: list[str], ends_s: float) -> Reply | None:
        """Ask on an idle connection. None if it was for another address, or the server has closed it meanwhile."""
        try:
            if at == url and not self._is_stopped:
                dialogue.extend(ends_s)
                return dialogue.ask("GET", "Accept: */*", *fields, login=True)
        except OddAnswerError:
            pass
        except SourceError:
            dialogue.close()
            raise
        dialogue.close()
        return None

    def _opened(self, dialogue: Dialogue, reply: Reply, url: str, part: Part | None, keep: bool) -> OpenFile:
        if reply.status == 206 and part is not None:
            declared = reply.get("content-range").partition("-")[0].split()
            if declared == ["bytes", str(part.start)]:
                return OpenFile(dialogue, url)
        elif reply.status == 200:
            self._kept = (url, dialogue) if keep else None
            return OpenFile(dialogue, url, part, reply.get("content-type").lower(), keep)
        dialogue.close()
        challenges = reply.all("www-authenticate")
        reason, advice = REFUSALS.get(
            reply.status, (SourceReason.SERVER, f"server error: the server answered with status {reply.status}")
        )
        if reply.status == 401 and has_login(url) and challenges and challenge_of(challenges) is None:
            advice = UNKNOWN_LOGIN
        raise failure(url, (reason, advice))

    def _note(self, connection: Connection) -> None:
        self._connection = connection
        if self._is_stopped:
            raise OddAnswerError


class OpenFile:
    """A file that is being downloaded. A context manager.

    Args:
        dialogue: the dialogue with the server, after the header of its reply.
        url: the address of the file, after redirects.
        part: the part that is needed, if the server sends the whole file; otherwise None.
        kind: its content type, in lower case, as the server sent it.
        keep: keep the connection after a whole file.

    Attributes:
        url: the address, without a login.
        kind: as given.
    """

    def __init__(
        self, dialogue: Dialogue, url: str, part: Part | None = None, kind: str = "", keep: bool = False
    ) -> None:
        self.url, self.kind = without_login(url), kind
        self._keep = keep
        self._dialogue = dialogue
        self._skip = part.start if part is not None else 0
        self._left = part.end - part.start if part is not None else None

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or not self._keep:
            self.close()

    def read(self, size: int, ends_s: float | None = None) -> bytes:
        """Return the next bytes, at least one and at most `size`; none at the end.

        Args:
            size: most bytes to return.
            ends_s: new deadline in monotonic seconds; None to keep the last one.

        Raises:
            SourceError: the download fails.
        """
        if ends_s is not None:
            self._dialogue.extend(ends_s)
        try:
            while self._skip:
                self._skip -= len(self._dialogue.read(min(self._skip, _CHUNK_BYTES))) or self._skip
            size = size if self._left is None else min(size, self._left)
            chunk = self._dialogue.read(size) if size else b""
        except OddAnswerError:
            pass
        else:
            self._left = None if self._left is None else self._left - len(chunk)
            return chunk
        raise failure(self.url, FAILED)

    def rest(self, most: int) -> bytes:
        """Return the rest of the file.

        Raises:
            SourceError: it is larger than `most` bytes, or the download fails.
        """
        chunks, size = [], 0
        while chunk := self.read(_CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > most:
                advice = f"too large: more than {f'{most >> 20} MiB' if most >> 20 else f'{most >> 10} kB'}"
                raise failure(self.url, (SourceReason.TOO_LARGE, advice))
        return b"".join(chunks)

    def close(self) -> None:
        """End the download. May be called more than once."""
        self._dialogue.close()
