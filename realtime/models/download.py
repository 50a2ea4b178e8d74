"""Downloads from the Hugging Face hub, which say how large they are, how far they are, and why they failed.

Used by models.hub. The download runs on a thread of its own: a signal ends the program at once, and the thread that
waits logs the progress. huggingface_hub's own progress bars and log lines are off.
"""

from __future__ import annotations

import contextlib
import http
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from realtime.errors import first_line

log = logging.getLogger(__name__)

# How often the progress is logged (s).
_REPORT_S = 10.0
# How long the hub may take to answer the first request (s).
_ANSWER_S = 10.0


def fetch(repository: str, wanted: Callable[[str], bool], last: str) -> tuple[Path | None, str]:
    """Download files of a repository into the hub's cache.

    Args:
        repository: its name, such as usyd-community/vitpose-plus-small.
        wanted: whether a file is downloaded.
        last: the file that is downloaded last. Once it is in the cache, the others are there too.

    Returns:
        The path of `last`; or None and the reason why it could not be downloaded.
    """
    done: list[Path] = []
    why = ["the download was interrupted"]
    try:
        job = _Job(repository)
    except ValueError as error:  # not a valid name
        return None, first_line(error)

    def download() -> None:
        try:
            done.append(job.run(wanted, last))
        except Exception as error:  # requests over a network, and files: it can raise anything
            log.debug("models: the download failed here", exc_info=True)
            why[0] = _reason(error)

    thread = threading.Thread(target=download, name="download", daemon=True)
    thread.start()
    thread.join(_REPORT_S)
    while thread.is_alive():
        progress = f"{job.bytes() / 1e6:.0f} of {job.total / 1e6:.0f} MB" if job.total else "no answer yet"
        log.info("models: downloading %s: %s", repository, progress)
        thread.join(_REPORT_S)
    return (done[0], "") if done else (None, why[0])


class _Job:
    """The download of some files of one repository.

    Attributes:
        total: the size of the files in bytes; 0 until the hub has answered.
    """

    def __init__(self, repository: str) -> None:
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        folder = repo_folder_name(repo_id=repository, repo_type="model")
        self._repository, self._blobs = repository, Path(constants.HF_HUB_CACHE) / folder / "blobs"
        self._before = self._size(lambda file: file.suffix != ".incomplete")
        self.total = 0

    def run(self, wanted: Callable[[str], bool], last: str) -> Path:
        """Download the files, `last` as the last one, and return its path. Raises whatever huggingface_hub raises."""
        from huggingface_hub import HfApi, hf_hub_download

        info = HfApi().model_info(self._repository, files_metadata=True, timeout=_ANSWER_S)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or [] if wanted(file.rfilename)}
        if last not in sizes:
            raise FileNotFoundError(0, f"{self._repository} on the model hub has no {last}")
        self.total = sum(sizes.values())
        log.info("models: downloading %s (%.0f MB) from the model hub", self._repository, self.total / 1e6)
        with _quiet():
            for file in sorted(sizes, key=last.__eq__):
                path = hf_hub_download(self._repository, file)
        return Path(path)

    def bytes(self) -> int:
        """The number of bytes that are on the disk."""
        return self._size(lambda file: True) - self._before

    def _size(self, counts: Callable[[Path], bool]) -> int:
        with contextlib.suppress(OSError):  # the folder isn't there yet, or a file was renamed just now
            return sum(file.stat().st_size for file in self._blobs.iterdir() if counts(file))
        return 0


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep huggingface_hub's bars and its warnings (each retry) off the terminal."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    theirs = logging.getLogger("huggingface_hub")
    level, has_bars = theirs.level, not are_progress_bars_disabled()
    theirs.setLevel(logging.CRITICAL)
    disable_progress_bars()
    try:
        yield
    finally:
        theirs.setLevel(level)
        if has_bars:
            enable_progress_bars()


def _reason(error: BaseException) -> str:
    """Why a download failed, as the end of a sentence."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    status = next((r.status_code for each in causes if (r := getattr(each, "response", None)) is not None), None)
    match status:
        case 404:
            return "the model hub has no model of this name (404)"
        case 401:
            return "the model hub has no public model of this name (401); if it is a private one, set HF_TOKEN"
        case 403:
            return "the model hub refuses it (403); accept the model's terms on its page there, and set HF_TOKEN"
        case int() if status >= 400:
            phrase = http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else "an error"
            return f"the model hub answered {status} ({phrase})"
    if any(isinstance(each, ValueError) for each in causes):
        return "its address answers, but not as a model hub; is there a login page in between?"
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or f"the download failed ({first_line(causes[-1], type(causes[-1]).__name__)})"
