"""Key files, and which readers an encrypted stream accepts."""

import socket
import threading
import time
from pathlib import Path

import pytest
import zmq

from realtime import keys
from realtime.client import PoseSubscriber
from realtime.client import main as client
from realtime.config import PublishConfig
from realtime.errors import OutputError
from realtime.publish.socket import PublishSocket
from realtime.wire import PoseMessage, encode, pose_topic


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the keys of a publisher, a permitted reader, a stranger, and another publisher."""
    assert keys.main([str(tmp_path / name) for name in ("publisher", "clients/alice", "stranger", "other")]) == 0
    return tmp_path


def message(seq: int) -> PoseMessage:
    return PoseMessage(
        session="s", camera="a", epoch=0, seq=seq, frame=seq, captured_ns=1, clock="arrival", published_ns=2,
        media_s=None, size=(4, 3), skeleton="none", track_ids=[], scores=[], boxes=b"", keypoints=b"",
        measured=[], timing_ms={},
    )  # fmt: skip


class Publisher:
    """Publishes on a thread during a `with` block."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = f"tcp://127.0.0.1:{free_port()}"
        self._config = PublishConfig(bind=[self.endpoint], curve_secret=folder / "publisher.key_secret")
        self._stop = threading.Event()

    def __enter__(self) -> "Publisher":
        self._socket = PublishSocket(self._config)
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _publish(self) -> None:
        seq = 0
        while not self._stop.wait(0.01):
            self._socket.send(pose_topic("a"), encode(message(seq), "msgpack"))
            seq += 1


def test_only_a_reader_with_a_permitted_key_receives_the_stream(folder: Path) -> None:
    with Publisher(folder) as publisher:
        known, public = folder / "clients/alice.key_secret", folder / "publisher.key"
        with PoseSubscriber(publisher.endpoint, timeout_s=20, curve_secret=known, curve_server=public) as reader:
            assert next(reader).camera == "a"
            refused = {
                "unknown key": {"curve_secret": folder / "stranger.key_secret", "curve_server": public},
                "no key": {},
                "wrong server key": {"curve_secret": known, "curve_server": folder / "other.key"},
            }
            for what, arguments in refused.items():
                with PoseSubscriber(publisher.endpoint, timeout_s=1.0, **arguments) as other:
                    with pytest.raises(TimeoutError) as told:
                        next(other)
                    assert ("does it accept this key?" in str(told.value)) == bool(arguments), what
            assert reader.latest()["a"].camera == "a"


def test_the_command_line_client_reads_an_encrypted_stream(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with Publisher(folder) as publisher:
        arguments = ["--connect", publisher.endpoint, "--count", "1", "--timeout", "20", "--json"]
        arguments += ["--curve-secret", str(folder / "clients/alice.key_secret")]
        assert client([*arguments, "--curve-server", str(folder / "publisher.key")]) == 0
        assert b'"camera":"a"' in capfdbinary.readouterr().out
        assert client(arguments) == 2
        assert b"got only one of curve_secret and curve_server" in capfdbinary.readouterr().err


def test_a_secret_key_is_readable_by_its_owner_only_and_never_overwritten(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = folder / "publisher.key_secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    before = secret.read_bytes()
    assert keys.main([str(folder / "publisher")]) == 2
    assert "already exists" in capsys.readouterr().err
    assert secret.read_bytes() == before
    key = keys.load_secret(secret)
    assert key.secret is not None
    assert key.secret.decode() not in repr(key)


def test_a_path_is_printed_on_one_line(tmp_path, capsys):
    for code in (0, 2):
        assert keys.main([str(tmp_path / "a\nforged \x1b[31m\udcff")]) == code
        printed = "".join(capsys.readouterr())
        assert r"a\nforged \x1b[31m\udcff.key" in printed
        assert printed.removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (
            lambda f: (f / "publisher.key_secret").chmod(0o644),
            "publisher.key_secret: other users can access .*: run chmod 600",
        ),
        (lambda f: (f / "publisher.key_secret").unlink(), "publisher.key_secret: no such file"),
        (lambda f: (f / "publisher.key_secret").write_text("x"), "publisher.key_secret: contains no readable key"),
        (lambda f: (f / "publisher.key").replace(f / "publisher.key_secret"), "contains no secret key"),
        (lambda f: (f / "clients/alice.key").unlink(), "no reader's public key .* the stream can't be read"),
        (lambda f: (f / "clients/bob.key").write_text("x"), "bob.key: contains no readable key"),
    ],
)
def test_a_wrong_key_file_stops_the_run(folder: Path, harm: object, told: str) -> None:
    harm(folder)  # type: ignore[operator]
    config = PublishConfig(bind=[f"tcp://127.0.0.1:{free_port()}"], curve_secret=folder / "publisher.key_secret")
    with pytest.raises(OutputError, match=f"publish.curve_secret: .*{told}"):
        PublishSocket(config)
    assert not [t for t in threading.enumerate() if "auth" in t.name.lower()]


def test_binding_beyond_loopback_is_allowed_with_keys(folder: Path) -> None:
    secret = folder / "publisher.key_secret"
    assert PublishConfig(bind=["tcp://0.0.0.0:5555"], curve_secret=secret).clients == folder / "clients"
    with pytest.raises(ValueError, match="curve-secret"):
        PublishConfig(bind=["tcp://0.0.0.0:5555"])
    with pytest.raises(ValueError, match="expected curve_secret too"):
        PublishConfig(curve_clients=folder)


def test_a_flood_of_connections_without_a_key_does_not_disturb_a_reader(folder: Path) -> None:
    with Publisher(folder) as publisher, zmq.Context() as context:
        arguments = {"curve_secret": folder / "clients/alice.key_secret", "curve_server": folder / "publisher.key"}
        with PoseSubscriber(publisher.endpoint, timeout_s=20, **arguments) as reader:
            next(reader)
            flood = [context.socket(zmq.SUB) for _ in range(100)]
            for other in flood:
                other.linger = 0
                other.connect(publisher.endpoint)
                for number in range(100):
                    other.subscribe(f"{number}")
            end_s, missed = time.monotonic() + 2, 0
            while time.monotonic() < end_s:
                missed += next(reader).missed
            assert missed == 0
            for other in flood:
                other.close()
