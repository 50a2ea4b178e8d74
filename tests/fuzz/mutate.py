"""Changes valid bytes as a broken camera, a bad cable or an attacker might."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

# Values at the edges of the fields that protocols have.
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
NUMBERS = (b"", b"0", b"-1", b"1e9", b"4294967296", b"99999999999999999999", b"0x10", b"65536", b"%s", b"nan")
INSERTS = (
    b"\0",
    b"\xff\xfe",
    b"\xfcml\xe4\xfct",
    b"\r\n\r\n",
    b"\r",
    b"%n%s",
    b"A" * 5000,
    b"\xf0\x9f\x98\x80",
    b":",
    b"..",
)


class Mutator:
    """Makes a few changes, which a seed decides.

    Args:
        seed: the same seed makes the same changes.
        inserts: what may be inserted, besides random bytes.

    Attributes:
        random: the source of all decisions.
        done: the names of the changes so far.
    """

    def __init__(self, seed: int, inserts: Sequence[bytes] = INSERTS) -> None:
        self.random = random.Random(seed)
        self._inserts = inserts
        self.done: list[str] = []

    def binary(self, data: bytes, within: int | None = None) -> bytes:
        """Change one to four places of binary data.

        Args:
            data: the valid bytes.
            within: change only this many bytes at the start, where headers are; None: all.
        """
        ways = [self._flip, self._edge, self._delete, self._repeat, self._insert, self._truncate]
        head, tail = (data, b"") if within is None else (data[:within], data[within:])
        return self._some(head, ways, weights=[6, 4, 2, 2, 2, 1]) + tail

    def text(self, data: bytes) -> bytes:
        """Change one to four places of lines of text: an SDP, a playlist, the headers of an answer."""
        ways = [self._number, self._line, self._word, self._insert, self._flip, self._truncate]
        return self._some(data, ways, weights=[6, 5, 3, 3, 2, 1])

    def _some(self, data: bytes, ways: list[Callable[[bytes], bytes]], weights: list[int]) -> bytes:
        for way in self.random.choices(ways, weights, k=self.random.randint(1, 4)):
            if data:
                data = way(data)
                self.done.append(way.__name__.strip("_"))
        return data

    def _place(self, data: bytes) -> tuple[int, int]:
        """A slice of the data, mostly a short one."""
        start = self.random.randrange(len(data))
        length = self.random.choice((1, 1, 2, 4, 8, 64, len(data)))
        return start, min(len(data), start + length)

    def _flip(self, data: bytes) -> bytes:
        at = self.random.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << self.random.randrange(8)]) + data[at + 1 :]

    def _edge(self, data: bytes) -> bytes:
        at, width = self.random.randrange(len(data)), self.random.choice((1, 2, 4, 8))
        value = self.random.choice(EDGES) % (1 << 8 * width)
        return data[:at] + value.to_bytes(width, self.random.choice(("big", "little"))) + data[at + width :]

    def _delete(self, data: bytes) -> bytes:
        start, end = self._place(data)
        return data[:start] + data[end:]

    def _repeat(self, data: bytes) -> bytes:
        start, end = self._place(data)
        return data[:end] + data[start:end] * self.random.choice((1, 2, 50)) + data[end:]

    def _insert(self, data: bytes) -> bytes:
        at = self.random.randrange(len(data))
        new = self.random.choice((*self._inserts, self.random.randbytes(self.random.choice((1, 4, 400)))))
        return data[:at] + new + data[at:]

    def _truncate(self, data: bytes) -> bytes:
        return data[: self.random.randrange(len(data))]

    def _number(self, data: bytes) -> bytes:
        found = list(re.finditer(rb"\d+", data))
        if not found:
            return self._insert(data)
        number = self.random.choice(found)
        return data[: number.start()] + self.random.choice(NUMBERS) + data[number.end() :]

    def _line(self, data: bytes) -> bytes:
        """Lose, repeat, move or empty a line."""
        lines = data.splitlines(keepends=True)
        at = self.random.randrange(len(lines))
        line = lines.pop(at)
        again = self.random.choice(([], [line] * 2, [line] * 300, [line.rstrip() + b"\n"], [line.rstrip(b"\r\n")]))
        to = at if self.random.random() < 0.7 else self.random.randrange(len(lines) + 1)
        return b"".join([*lines[:to], *again, *lines[to:]])

    def _word(self, data: bytes) -> bytes:
        """Swap two words, or put one in the place of another."""
        words = re.split(rb"([ =;:/\r\n]+)", data)
        one, other = (2 * self.random.randrange((len(words) + 1) // 2) for _ in range(2))
        words[one] = words[other]
        return b"".join(words)
