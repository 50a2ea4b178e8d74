"""Calls into a camera's source: any exception there becomes a fault of this camera and doesn't end the run.

Used by capture.camera and capture.open, around every call that opens, reads, converts or closes. It guards these calls
only, not the rest of the camera's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from realtime.errors import SourceError, SourceReason, first_line
from realtime.redact import SecretAddress, redact, secrets_of, shown

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class Guard:
    """Makes the calls into one camera's source.

    >>> guard = Guard("door", "rtsp://10.0.0.5/s1")
    >>> try:
    ...     guard.call(dict.popitem, {}, logs=False)
    ... except SourceError as error:
    ...     print(error.reason.value, "|", error)
    internal error | rtsp://10.0.0.5/s1: internal error: KeyError: 'popitem(): dictionary is empty'

    Args:
        camera: name of the camera.
        source: its address, which may hold a secret.
    """

    def __init__(self, camera: str, source: str) -> None:
        self._camera = camera
        self._source = source
        self._logged: set[type[Exception]] = set()

    def call(self, function: Callable[[*Arguments], Result], *arguments: *Arguments, logs: bool) -> Result:
        """Call a function of the source.

        Args:
            function: opens, reads, converts or closes.
            arguments: its arguments.
            logs: log the traceback of an unexpected exception as an error, once per kind. False: only at the level
                debug, because the error that is raised ends the camera, and its one line is shown.

        Raises:
            SourceError: whatever the function raised. An exception of another class becomes an INTERNAL one, without
                the exception itself, which would keep the source's memory. The message holds no secret.
        """
        try:
            return function(*arguments)
        except SourceError as error:
            if not isinstance(self._source, SecretAddress):
                raise
            # The files of a folder are named after it.
            trouble = type(error)(redact(str(error), secrets_of(self._source)), error.reason)
        except MemoryError:
            trouble = SourceError(f"{shown(self._source)}: out of memory", SourceReason.INTERNAL)
        except Exception as error:
            self._log(error, logs)
            what = redact(f"{type(error).__name__}: {first_line(error)}", secrets_of(self._source))
            trouble = SourceError(f"{shown(self._source)}: internal error: {what}", SourceReason.INTERNAL)
        # Raised outside of the `except` block: inside, Python would attach the other exception as __context__. Deleted,
        # because the error and this frame, which holds the source, would refer to each other.
        try:
            raise trouble
        finally:
            del trouble

    def _log(self, error: Exception, logs: bool) -> None:
        is_new = type(error) not in self._logged
        self._logged.add(type(error))
        level = logging.ERROR if logs and is_new else logging.DEBUG
        text, extra = "%s: unexpected error in its source; please report this", {"camera": self._camera}
        log.log(level, text, self._camera, exc_info=error, extra=extra)
