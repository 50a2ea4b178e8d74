"""The body of a reply, which ends after a declared length, after its last chunk, or with the connection.

Used by capture.dialogue.
"""

from __future__ import annotations

import re

from realtime.capture.connection import Connection, OddAnswerError

# A chunked body has a line with a length before each chunk, and fields after the last one: the largest length of a line
# (bytes), and most lines after the last chunk.
_LINE_BYTES, _LINES = 1024, 16
_CHUNK_LENGTH = re.compile(rb"\s*0*([0-9A-Fa-f]{1,8})\s*(?:;|$)")


class Body:
    """The body of a reply.

    Args:
        connection: the connection to read from.
        left: its length in bytes; None if it ends with the connection.
        is_chunked: whether it is sent in chunks, each with its length before it.

    Attributes:
        left: number of bytes that were not read yet; None if unknown. In a chunked body: of the current chunk.
    """

    def __init__(self, connection: Connection, left: int | None, is_chunked: bool = False) -> None:
        self._connection = connection
        self.left = left
        self._is_chunked, self._has_begun = is_chunked, False

    def read(self, size: int) -> bytes:
        """Return the next bytes, at least one and at most `size`; none at the end."""
        if self._is_chunked and self.left == 0:
            self._begin_chunk()
        if self.left == 0:
            return b""
        chunk = self._connection.some(size if self.left is None else min(size, self.left))
        if self.left is not None:
            if not chunk:
                raise OddAnswerError
            self.left -= len(chunk)
        return chunk

    def rest(self, most: int = 1 << 16) -> bytes:
        """Return the rest, but at most `most` bytes."""
        chunks, size = [], 0
        while size < most and (chunk := self.read(most - size)):
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks)

    def skip(self, most: int) -> bool:
        """Discard the rest. False if it has more than `most` bytes, or ends only with the connection."""
        if self.left is None or self.left > most:
            return False
        while chunk := self.read(most + 1):
            most -= len(chunk)
            if most < 0:
                return False
        return True

    def _begin_chunk(self) -> None:
        if self._has_begun:
            self._line()
        self._has_begun = True
        length = _CHUNK_LENGTH.match(self._line())
        if length is None:
            raise OddAnswerError
        self.left = int(length[1], 16)
        if self.left == 0:
            self._is_chunked = False
            for _ in range(_LINES):  # the fields after the body
                if not self._line().strip():
                    return
            raise OddAnswerError

    def _line(self) -> bytes:
        return self._connection.line(_LINE_BYTES, "a line between the chunks of its reply", _LINE_BYTES)
