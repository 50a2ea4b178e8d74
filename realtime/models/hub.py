"""The Hugging Face hub: whether it can be reached, and what its cache holds.

Used by models.weights; models/download.py gets the missing files. Only these two files import huggingface_hub.
"""

from __future__ import annotations

import logging
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from realtime.models.cache import is_trusted, make_private
from realtime.models.download import fetch
from realtime.wire.small_file import read_small

log = logging.getLogger(__name__)

# How long a probe of the hub may take, and for how long `auto` trusts a failed one.
_PROBE_S = 3.0
_REMEMBER_S = 600.0
# The file that names the commit in the hub's cache has 40 bytes.
_MOST_BYTES = 1024


class Hub:
    """The Hugging Face hub: probed at most once for each model, and only if no local file will do.

    Args:
        cache: our own cache folder. A file there records that the hub could not be reached.
    """

    def __init__(self, cache: Path) -> None:
        self._mark = cache / "hub-unreachable"
        self._reachable: bool | None = None

    def reachable(self, trust_memory: bool) -> bool:
        """Whether a download can succeed.

        Args:
            trust_memory: trust a probe that failed in the last ten minutes instead of trying again.
        """
        from huggingface_hub import constants

        if constants.HF_HUB_OFFLINE:
            return False
        if trust_memory and self._failed_lately():
            return False
        if self._reachable is None:
            log.info("models: asking the model hub, %s, for a model that is not on this machine", constants.ENDPOINT)
            self._reachable = _probe(constants.ENDPOINT)
            self._remember(self._reachable)
        return self._reachable

    def _failed_lately(self) -> bool:
        try:
            if not is_trusted(self._mark.parent):
                return False
            return 0.0 <= time.time() - self._mark.stat().st_mtime < _REMEMBER_S  # the clock may have been set back
        except OSError:
            return False

    def _remember(self, reachable: bool) -> None:
        folder = self._mark.parent
        try:
            if reachable:
                self._mark.unlink(missing_ok=True)
                return
            make_private(folder)
            if is_trusted(folder):  # or it could be a link
                self._mark.touch(mode=0o600)
        except OSError:
            log.debug("cache folder %s can't be written; the next start probes the hub again", folder)


def _probe(endpoint: str) -> bool:
    """Probe the hub with one request, on a thread, because a name lookup alone can outlast the request's timeout."""
    answered = threading.Event()

    def ask() -> None:
        try:
            # The endpoint is the hub's own https address, or the user's HF_ENDPOINT.
            urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=_PROBE_S).close()  # noqa: S310
            answered.set()
        except urllib.error.HTTPError:
            answered.set()  # the hub answered, even if it refused the HEAD request
        except (OSError, ValueError):
            pass

    thread = threading.Thread(target=ask, name="hub-probe", daemon=True)
    thread.start()
    thread.join(_PROBE_S)
    return answered.is_set()


def hub_checkpoint(name: str, hub: Hub, trust_memory: bool) -> tuple[Path | None, str]:
    """Find the folder of a ViTPose checkpoint in the hub's cache, or download it.

    If neither is possible, the second value is the reason.
    """
    if (folder := local_checkpoint(name)) is not None:
        return folder, ""
    if not hub.reachable(trust_memory):
        return None, "no local copy, and the model hub can't be reached"
    file, why = fetch(name, lambda file: "/" not in file and file.endswith((".safetensors", ".json")), "config.json")
    if file is not None and not _is_checkpoint(file.parent):
        return None, "the model hub has it without weights as .safetensors"
    return file and file.parent, why


def _is_checkpoint(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(file.is_file() for file in folder.glob("*.safetensors"))


def local_checkpoint(name: str) -> Path | None:
    """Return the folder of a ViTPose checkpoint in the hub's cache, or None."""
    file = downloaded(name, "config.json")
    return file.parent if file is not None and _is_checkpoint(file.parent) else None


def downloaded(repository: str, file: str) -> Path | None:
    """Return the path of a file that an earlier download left in the hub's cache, or None.

    The layout of this cache is documented (huggingface_hub, guides/manage-cache). The library's own search would import
    its client, which takes 0.2 s and 22 MB.
    """
    from huggingface_hub import constants

    try:
        folder = Path(constants.HF_HUB_CACHE).expanduser() / f"models--{repository.replace('/', '--')}"
        commit = read_small(folder / "refs" / "main", _MOST_BYTES, 0.0).decode("ascii").strip()
        path = folder / "snapshots" / commit / file
        return path if commit == Path(commit).name and path.is_file() else None
    except (OSError, ValueError):  # a cache that can't be read counts as empty
        return None


def download(repository: str, file: str) -> tuple[Path | None, str]:
    """Download a file; if that fails, the second value is the reason."""
    return fetch(repository, file.__eq__, file)
