"""The keys of readers that come and go while the publisher runs, and files that can't be used."""

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from realtime import keys
from realtime.config import PublishConfig
from realtime.publish import reader_keys
from realtime.publish.outlets import open_outlets
from realtime.publish.reader_keys import ReaderKeys
from realtime.publish.socket import PublishSocket
from realtime.wire.keys import load_secret
from tests.doubles import wait_until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the keys of a publisher, of the readers alice and bob, and of one who is not permitted yet."""
    keys.main([str(tmp_path / name) for name in ("publisher", "clients/alice", "clients/bob", "carol")])
    return tmp_path


@pytest.fixture
def held(folder: Path, caplog: pytest.LogCaptureFixture) -> ReaderKeys:
    caplog.set_level("INFO", "realtime.publish.reader_keys")
    return ReaderKeys(folder / "publisher.key_secret", folder / "clients")


@pytest.fixture
def reads(held: ReaderKeys, folder: Path) -> Callable[[], set[str]]:
    own = {path.stem: load_secret(path).public for path in folder.rglob("*.key_secret")}
    return lambda: {name for name, key in own.items() if held.callback("*", key)}


def test_added_and_removed_keys_hold_from_the_next_look(held, folder, reads, caplog):
    held.look()
    assert (reads(), caplog.messages) == ({"alice", "bob"}, [])
    shutil.copy(folder / "carol.key", folder / "clients")
    held.look()
    assert (reads(), held.who()) == ({"alice", "bob", "carol"}, f"readable with one of 3 keys in {folder}/clients")
    (folder / "clients/bob.key").unlink()
    (folder / "clients/alice.key").replace(folder / "clients/carol.key")
    held.look()
    assert reads() == {"alice"}
    (folder / "clients/carol.key").unlink()
    held.look()
    assert reads() == set()
    assert caplog.messages == [
        "reader keys: 3 (added: carol.key)",
        "reader keys: 1 (changed: carol.key; removed: alice.key, bob.key)",
        f"reader keys: 0 (removed: carol.key); no reader can connect until {folder}/clients has a key",
    ]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda file: file.write_text("garbage"), "contains no readable key"),
        (lambda file: file.write_text(""), "contains no readable key"),
        (lambda file: file.write_text(file.read_text()[:-20]), "contains no readable key"),  # half-written
        (lambda file: file.chmod(0o666), r"other users can change .*bob.key \(mode 666\): run chmod go-w"),
        (lambda file: (file.unlink(), file.mkdir()), "not a regular file"),
        (lambda file: (file.unlink(), file.symlink_to("nowhere")), "No such file or directory"),
        (lambda file: (file.unlink(), file.symlink_to("/dev/zero")), "not a regular file"),
        (lambda file: file.write_text("#" * 20_000), "too large"),
    ],
)
def test_a_bad_file_is_told_once_and_the_others_hold(held, folder, reads, caplog, spoil, told):
    file = folder / "clients/bob.key"
    good = file.read_text()
    held.look()
    spoil(file)
    held.look()
    assert (reads(), caplog.messages) == ({"alice", "bob"}, [])  # it may be half-written
    for _ in range(3):
        held.look()
    assert reads() == {"alice"}
    [warning, change] = caplog.messages
    assert re.search(f"bob.key.*{told}", warning)
    assert change == "reader keys: 1 (removed: bob.key)"
    file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
    file.write_text(good)
    file.chmod(0o600)
    held.look()
    assert reads() == {"alice", "bob"}


def test_many_bad_files_are_one_line(held, folder, reads, caplog):
    for number in range(100):
        (folder / f"clients/x{number:02d}.key").write_text("garbage")
    held.look()
    held.look()
    [line] = caplog.messages
    assert "x00.key: contains no readable key" in line
    assert line.endswith("(and 99 more files that can't be used)")
    assert reads() == {"alice", "bob"}


@pytest.mark.parametrize("trouble", ["gone", "a file", "too many files"])
def test_while_the_folder_can_t_be_read_the_keys_hold(held, folder, reads, caplog, trouble):
    there = folder / "clients"
    if trouble == "too many files":
        for number in range(2001):
            (there / f"{number}.txt").touch()
    else:
        there.rename(folder / "moved")
        if trouble == "a file":
            there.touch()
    for _ in range(3):
        held.look()
    assert reads() == {"alice", "bob"}
    [warning] = caplog.messages
    assert warning.endswith("the keys that were there before still hold")
    if trouble == "too many files":
        assert "contains more than 2,000 files" in warning
        return
    there.unlink(missing_ok=True)
    (folder / "moved").rename(there)
    held.look()
    assert caplog.messages[1:] == [f"reader keys: {there} can be used again"]


def test_while_others_can_change_the_folder_no_key_is_added(held, folder, reads, caplog):
    there = folder / "clients"
    there.chmod(0o777)
    shutil.copy(folder / "carol.key", there)
    (there / "bob.key").unlink()
    for _ in range(3):
        held.look()
    assert reads() == {"alice"}
    assert caplog.messages == [
        f"reader keys: other users can change {there} (mode 777): run chmod go-w {there}, after checking its keys; "
        "until then, no key is added",
        "reader keys: 1 (removed: bob.key)",
    ]
    there.chmod(0o700)
    held.look()
    assert reads() == {"alice", "carol"}
    assert caplog.messages[2:] == [f"reader keys: {there} can be used again", "reader keys: 2 (added: carol.key)"]


def test_a_folder_that_is_swapped_by_a_link_as_in_kubernetes_gives_the_new_keys(folder, reads, caplog):
    mount = folder / "mount"
    for number, name in enumerate(["clients/alice", "carol"]):
        (mount / f"..{number}").mkdir(parents=True)
        shutil.copy(folder / f"{name}.key", mount / f"..{number}/reader.key")
    (mount / "..data").symlink_to("..0")
    (mount / "reader.key").symlink_to("..data/reader.key")
    swapped = ReaderKeys(folder / "publisher.key_secret", mount)
    swapped.look()
    alice, carol = (load_secret(folder / f"{name}.key_secret").public for name in ("clients/alice", "carol"))
    assert swapped.callback("*", alice)
    (mount / "..new").symlink_to("..1")
    (mount / "..new").replace(mount / "..data")
    swapped.look()
    assert (swapped.callback("*", alice), swapped.callback("*", carol)) == (False, True)
    assert caplog.messages[-1:] == ["reader keys: 1 (changed: reader.key)"]


def test_an_unchanged_file_is_not_read_again(held, folder, monkeypatch):
    read: list[Path] = []
    monkeypatch.setattr(reader_keys, "load_reader", lambda file: read.append(file) or b"key")
    for _ in range(3):
        held.look()
    assert sorted(path.name for path in read) == ["alice.key", "bob.key"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(reader_keys, "_LOOK_S", 0.02)
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "reader-keys"]


@pytest.mark.usefixtures("quick")
def test_poses_and_pictures_share_one_set_of_readers_that_changes_while_they_run(folder):
    config = PublishConfig(
        bind=["tcp://127.0.0.1:*"], pictures="tcp://127.0.0.1:*", curve_secret=folder / "publisher.key_secret"
    )
    outlets = open_outlets(config, None, "abc", list)
    assert len([thread for thread in threading.enumerate() if thread.name == "reader-keys"]) == 1
    endpoints = [*outlets.sockets[0].endpoints, outlets.pictures.endpoint]
    carol = load_secret(folder / "carol.key_secret")

    def connects(endpoint: str) -> bool:
        with zmq.Context() as context, context.socket(zmq.SUB) as reader:
            reader.linger = 0
            reader.curve_publickey, reader.curve_secretkey = carol.public, carol.secret
            reader.curve_serverkey = load_secret(folder / "publisher.key_secret").public
            monitor = reader.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH)
            reader.connect(endpoint)
            told = monitor.poll(5000) and recv_monitor_message(monitor)["event"]
            reader.disable_monitor()
            monitor.close()
        return told == zmq.EVENT_HANDSHAKE_SUCCEEDED

    assert [connects(endpoint) for endpoint in endpoints] == [False, False]
    shutil.copy(folder / "carol.key", folder / "clients")
    wait_until(lambda: all(connects(endpoint) for endpoint in endpoints))
    (folder / "clients/carol.key").unlink()
    wait_until(lambda: not any(connects(endpoint) for endpoint in endpoints))
    outlets.close()


@pytest.mark.usefixtures("quick")
def test_a_disk_that_never_answers_blocks_neither_sending_nor_closing(folder, monkeypatch):
    is_looking, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(reader_keys, "_JOIN_S", 0.01)
    monkeypatch.setattr(reader_keys, "key_files", lambda _: (is_looking.set(), go_on.wait(20), [])[2])
    publisher = PublishSocket(PublishConfig(bind=["tcp://127.0.0.1:*"], curve_secret=folder / "publisher.key_secret"))
    assert is_looking.wait(10)
    assert publisher.send(b"pose/cam0/", b"...")
    publisher.close()
    go_on.set()
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "reader-keys"])
