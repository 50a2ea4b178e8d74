import pytest

from realtime.models import hub


def test_a_probe_of_a_silent_host_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(hub, "_PROBE_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert not hub._probe(f"http://127.0.0.1:{silent.getsockname()[1]}")
