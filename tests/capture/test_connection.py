import errno
import os
import ssl
import time

import pytest

from realtime.capture.connection import Connection, OddAnswerError


def test_no_free_file_descriptor_is_a_connection_that_failed_and_no_internal_error(monkeypatch):
    def refuse(*options):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("socket.socket", refuse)
    with pytest.raises(OddAnswerError):
        Connection("rtsp://127.0.0.1:554/s1", time.monotonic() + 1, ssl.create_default_context)
