"""The slow link: what goes in comes out, in both directions, and it waits as long as the rate asks for."""

import socket
import threading

from . import throttle
from .throttle import Bucket, Throttle


def test_all_bytes_pass_in_both_directions():
    sent = bytes(range(256)) * 400
    with socket.create_server(("127.0.0.1", 0)) as server, Throttle(server.getsockname()[1], 1e9) as link:

        def echo() -> None:
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data)

        threading.Thread(target=echo, daemon=True).start()
        with socket.create_connection(("127.0.0.1", link.port), timeout=10) as viewer:
            threading.Thread(
                target=lambda: (viewer.sendall(sent), viewer.shutdown(socket.SHUT_WR)), daemon=True
            ).start()
            got = b"".join(iter(lambda: viewer.recv(65536), b""))
    assert got == sent
    assert link.passed == len(sent)


def test_a_bucket_lets_through_what_the_rate_allows(monkeypatch):
    now_s = [100.0]
    monkeypatch.setattr(throttle.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(throttle.time, "sleep", lambda seconds: now_s.__setitem__(0, now_s[0] + seconds))
    bucket = Bucket(1e6)
    for _ in range(100):
        bucket.take(12_500)
    assert 9.9 < now_s[0] - 100 <= 10.0
    now_s[0] += 60  # an idle minute doesn't allow a burst
    bucket.take(125_000)
    assert now_s[0] > 170.9
