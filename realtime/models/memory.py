"""Small facts that later starts need, each a file of JSON in the cache: text by text.

Used by models.digests, models.description, models.proof and models.speeds. A file that is
damaged, or that other users could have changed, counts as empty.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from realtime.models.cache import is_trusted, make_private

# How many facts a file keeps: the newest ones.
_MOST = 64
# A file of this size or larger is not ours.
_MOST_BYTES = 2_000_000


def recall(file: Path) -> dict[str, list[str]]:
    """Return the facts in a file: a list of texts for each key.

    >>> recall(Path("no such file"))
    {}
    """
    try:
        if not is_trusted(file) or file.stat().st_size > _MOST_BYTES:
            return {}
        data = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):  # missing, unreadable or damaged
        return {}
    entries = data.items() if isinstance(data, dict) else ()
    return {
        key: entry
        for key, entry in entries
        if isinstance(entry, list) and entry and all(isinstance(value, str) for value in entry)
    }


def remember(file: Path, key: str, fact: Sequence[str]) -> None:
    """Add a fact to a file, which is replaced at once. If it can't be written, the fact is not remembered."""
    known: Mapping[str, Sequence[str]] = {name: entry for name, entry in recall(file).items() if name != key}
    kept = dict([*known.items(), (key, list(fact))][-_MOST:])
    folder = file.parent
    with contextlib.suppress(OSError):
        make_private(folder)
        if is_trusted(folder):
            handle, name = tempfile.mkstemp(prefix="begun-", dir=folder)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as begun:
                    json.dump(kept, begun)
                Path(name).replace(file)
            except OSError:
                Path(name).unlink(missing_ok=True)
