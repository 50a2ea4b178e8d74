"""Who may bind an ipc path: nothing of another program is taken or deleted."""

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq

from realtime.config import PublishConfig
from realtime.errors import OutputError
from realtime.publish import ipc
from realtime.publish.socket import PublishSocket


def bind(*endpoints: str) -> PublishSocket:
    return PublishSocket(PublishConfig(bind=list(endpoints)))


def hears(publisher: PublishSocket, endpoint: str) -> bool:
    """Whether a new reader gets what this publisher sends through the endpoint."""
    with zmq.Context() as context, context.socket(zmq.SUB) as reader:
        reader.linger = 0
        reader.subscribe(b"pose/")
        reader.connect(os.fsencode(endpoint))
        for _ in range(500):
            publisher.send(b"pose/cam0/", b"heard")
            if reader.poll(10):
                return reader.recv_multipart() == [b"pose/cam0/", b"heard"]
    return False


def dead_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        listener.listen()


def test_the_stream_is_read_through_the_path_and_the_file_is_removed_at_the_end(tmp_path: Path) -> None:
    publisher = bind(f"ipc://{tmp_path}/pose", "tcp://127.0.0.1:*", f"ipc://{tmp_path}/second")
    assert publisher.endpoints[0] == f"ipc://{tmp_path}/pose"
    for endpoint in publisher.endpoints:
        assert hears(publisher, endpoint)
    publisher.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("worth keeping"),
        lambda path: path.touch(),
        lambda path: path.mkdir(),
        lambda path: os.mkfifo(path),
        lambda path: path.symlink_to("notes.txt"),
    ],
    ids=["a file", "an empty file", "a folder", "a pipe", "a link to a file"],
)
def test_what_is_no_socket_is_kept(tmp_path: Path, make: Callable[[Path], object]) -> None:
    (tmp_path / "notes.txt").write_text("worth keeping")
    path = tmp_path / "pose"
    make(path)
    before = path.lstat()
    with pytest.raises(OutputError, match=rf"^publish.bind: can't bind ipc://{path}: the path is not that of a socket"):
        bind(f"ipc://{path}")
    assert path.lstat() == before
    assert (tmp_path / "notes.txt").read_text() == "worth keeping"


def test_a_second_run_is_refused_and_the_first_one_is_still_heard(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/pose"
    first = bind(endpoint)
    for _ in range(2):
        with pytest.raises(OutputError, match="already in use by another program: choose another path"):
            bind(endpoint)
    assert hears(first, endpoint)
    first.close()
    bind(endpoint).close()


def test_a_socket_of_another_type_and_one_that_is_too_busy_are_in_use(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log, socket.socket(socket.AF_UNIX) as busy:
        log.bind(f"{tmp_path}/log")
        busy.bind(f"{tmp_path}/busy")
        busy.listen(0)
        waiting = []
        while True:
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            try:
                waiting[-1].connect(f"{tmp_path}/busy")
            except BlockingIOError:
                break
        for name in ("log", "busy"):
            with pytest.raises(OutputError, match="already in use"):
                bind(f"ipc://{tmp_path}/{name}")
        for client in waiting:
            client.close()


def test_the_socket_of_a_dead_program_is_taken_over_also_through_a_link(tmp_path: Path) -> None:
    dead_socket(tmp_path / "pose")
    (tmp_path / "link").symlink_to("pose")
    publisher = bind(f"ipc://{tmp_path}/link")
    assert hears(publisher, f"ipc://{tmp_path}/pose")
    assert (tmp_path / "link").is_symlink()
    publisher.close()
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_a_run_that_fails_to_start_leaves_no_socket_behind(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("worth keeping")
    with pytest.raises(OutputError, match="not that of a socket"):
        bind(f"ipc://{tmp_path}/pose", f"ipc://{tmp_path}/notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_program_that_ends_before_it_publishes_removes_its_socket(tmp_path: Path) -> None:
    code = (
        "import sys; from realtime.config import PublishConfig; from realtime.publish.socket import PublishSocket\n"
        "PublishSocket(PublishConfig(bind=[sys.argv[1]])); raise SystemExit(3)"
    )
    ended = subprocess.run([sys.executable, "-c", code, f"ipc://{tmp_path}/pose"], check=False, timeout=60)
    assert ended.returncode == 3
    assert list(tmp_path.iterdir()) == []


def test_the_socket_of_a_program_that_took_the_path_meanwhile_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "pose"
    ours = bind(f"ipc://{path}")
    path.unlink()
    other = bind(f"ipc://{path}")
    ours.close()
    assert hears(other, f"ipc://{path}")
    other.close()
    assert not path.exists()


def test_the_file_is_removed_although_the_current_folder_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    publisher = bind("ipc://pose")
    assert (tmp_path / "pose").is_socket()
    monkeypatch.chdir("/")
    publisher.close()
    assert not (tmp_path / "pose").exists()


def test_a_name_without_a_file_is_bound_and_no_file_of_that_name_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    endpoint = f"ipc://@realtime-test-{os.getpid()}"
    Path(endpoint.removeprefix("ipc://")).write_text("worth keeping")
    publisher = bind(endpoint)
    assert hears(publisher, endpoint)
    with pytest.raises(OutputError, match="already in use"):
        bind(endpoint)
    publisher.close()
    bind(endpoint).close()
    assert Path(endpoint.removeprefix("ipc://")).read_text() == "worth keeping"


def test_a_wildcard_gets_a_path_of_its_own(tmp_path: Path) -> None:
    publisher = bind("ipc://*")
    assert hears(publisher, publisher.endpoints[0])
    publisher.close()
    assert not Path(publisher.endpoints[0].removeprefix("ipc://")).exists()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("{tmp}/none/pose", "the socket's folder does not exist"),
        ("{tmp}/notes.txt/pose", "the socket's folder is not a folder"),
        ("{tmp}/" + "x" * 150, "the path is longer than 10. bytes: choose a shorter one"),
        ("/proc/pose", "(No such file|permission denied|does not exist)"),
        ("{tmp}", "the path is not that of a socket"),
    ],
)
def test_a_path_that_cannot_be_bound_is_one_line(tmp_path: Path, path: str, why: str) -> None:
    (tmp_path / "notes.txt").write_text("worth keeping")
    with pytest.raises(OutputError, match=why) as told:
        bind("ipc://" + path.format(tmp=tmp_path))
    assert "\n" not in str(told.value)


def test_a_path_that_is_not_utf_8_is_bound(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/" + os.fsdecode(b"caf\xe9")
    publisher = bind(endpoint)
    assert publisher.endpoints == [endpoint]
    publisher.close()


def test_programs_that_start_at_once_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of the folder is held from the look at the old socket until the new one answers."""
    dead_socket(tmp_path / "pose")
    states = []
    make_way = ipc._make_way

    def look(path: Path) -> None:
        make_way(path)
        folder = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(folder)
        states.append(path.exists())

    monkeypatch.setattr(ipc, "_make_way", look)
    bind(f"ipc://{tmp_path}/pose").close()
    assert states == [False]


def test_a_folder_that_another_program_keeps_locked_does_not_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ipc, "_LOCK_S", 0.0)
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    bind(f"ipc://{tmp_path}/pose").close()
    os.close(folder)


def test_the_descriptor_is_closed_with_the_stream(tmp_path: Path) -> None:
    bind(f"ipc://{tmp_path}/pose").close()  # what libzmq opens once
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        bind(f"ipc://{tmp_path}/pose").close()
        with pytest.raises(OutputError):
            bind(f"ipc://{tmp_path}/pose", "ipc:///none/pose")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
