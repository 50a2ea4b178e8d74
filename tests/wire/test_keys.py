"""Key files, and which readers an encrypted stream accepts."""

import shutil
import socket
import threading
import time
from pathlib import Path

import pytest
import zmq
import zmq.auth

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
                "does not accept this reader's key": {
                    "curve_secret": folder / "stranger.key_secret",
                    "curve_server": public,
                },
                "does it require keys": {},
                "is this the publisher's key": {"curve_secret": known, "curve_server": folder / "other.key"},
            }
            for what, arguments in refused.items():
                other = PoseSubscriber(publisher.endpoint, timeout_s=1.5, **arguments)
                with other, pytest.raises(TimeoutError, match=what):
                    next(other)
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


def refuse_to_write(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the disk be full once this many files were opened."""
    opened = []

    def fail(descriptor: object, *rest: object, **more: object) -> object:
        opened.append(descriptor)
        return open("/dev/full" if len(opened) > after else descriptor, *rest, **more)  # noqa: PTH123

    monkeypatch.setattr("realtime.wire.keys.open", fail, raising=False)


@pytest.mark.parametrize("after", [0, 1])
def test_a_full_disk_leaves_no_half_pair_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], after: int
) -> None:
    refuse_to_write(monkeypatch, after)
    assert keys.main([str(tmp_path / "new" / "alice")]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/new/alice: can't be written: No space left on device\n"
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("suffix", [".key", ".key_secret"])
def test_neither_a_file_nor_a_link_without_a_target_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    taken = tmp_path / f"alice{suffix}"
    taken.symlink_to("elsewhere")
    assert keys.main([str(tmp_path / "alice")]) == 2
    assert capsys.readouterr().err == f"{taken} already exists and is not overwritten: choose another name\n"
    assert list(tmp_path.iterdir()) == [taken]  # neither the other half nor the target of the link


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keys").write_text("worth keeping")
    assert keys.main([str(tmp_path / "keys" / "alice")]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/keys/alice: can't be written: File exists\n"
    assert (tmp_path / "keys").read_text() == "worth keeping"


def test_zeromq_s_own_reader_reads_our_files(folder: Path) -> None:
    public, secret = zmq.auth.load_certificate(folder / "publisher.key_secret")
    assert (public, None) == zmq.auth.load_certificate(folder / "publisher.key")
    assert zmq.curve_public(secret) == public


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
        (lambda f: (f / "clients/bob.key").write_text(f'public-key = "{"#" * 40}"'), "contains no readable key"),
        (lambda f: (f / "clients/bob.key").write_text("#" * 20_000), "bob.key: too large: expected at most 16 kB"),
        (lambda f: shutil.rmtree(f / "clients"), "clients: can't be read: .* the permitted readers' public keys"),
        (lambda f: (f / "clients").chmod(0o777), "anyone who can add a key .*: run chmod go-w .*/clients$"),
        (lambda f: (f / "clients").chmod(0o770), r"other users can change .*/clients \(mode 770\)"),
        (lambda f: (f / "clients/alice.key").chmod(0o666), "run chmod go-w .*/clients/alice.key$"),
        (lambda f: f.chmod(0o777), "run chmod go-w"),  # the folder of keys could be replaced
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


def test_a_tilde_is_the_home_folder_for_each_key_and_endpoint(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert keys.main(["~/new"]) == 0
    config = PublishConfig(bind=["ipc://~/pose"], curve_secret="~/publisher.key_secret")
    socket = PublishSocket(config)
    PoseSubscriber("ipc://~/pose", curve_secret="~/clients/alice.key_secret", curve_server="~/publisher.key").close()
    socket.close()
    assert (folder / "new.key_secret").is_file()
    assert config.bind == [f"ipc://{folder}/pose"]


def test_an_ipc_endpoint_need_not_be_utf_8(tmp_path):
    path = f"ipc://{tmp_path}/caf\udce9"
    socket = PublishSocket(PublishConfig(bind=[path]))
    PoseSubscriber(path).close()
    socket.close()
