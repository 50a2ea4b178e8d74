"""The branch of the pictures, observed by real subscribers."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import zmq

from realtime import keys, wire
from realtime.config import PublishConfig
from realtime.errors import OutputError
from realtime.publish import pictures as module
from realtime.publish.jpeg import to_jpeg
from realtime.publish.pictures import Pictures
from realtime.types import Frame, Motion, Poses
from tests.builders import make_frame
from tests.doubles import wait_until

ANY_PORT = "tcp://127.0.0.1:*"
CAMERAS = ["cam0", "yard"]


class Running:
    """The branch on its thread, as in the pipeline, with 60 pictures per second of each camera and width."""

    def __init__(self, config: PublishConfig, private: str | None = None) -> None:
        self.cameras = list(CAMERAS)
        self.branch = Pictures(config, private, "abc", lambda: self.cameras)
        self.thread = threading.Thread(target=self.branch.run, name="pictures", daemon=True)
        self.thread.start()
        self._number = 0

    def offer(self, camera: str = "cam0", image: np.ndarray | None = None) -> int:
        """Offer the next frame of a camera; return its number."""
        self._number += 1
        self.branch.offer(Poses.empty(make_frame(self._number, camera, image=image), 0), seq=1000 + self._number)
        return self._number

    def until(self, condition: Callable[[], object], *cameras: str, image: np.ndarray | None = None) -> None:
        """Offer frames of these cameras until a condition holds."""

        def offer() -> object:
            for camera in cameras or ("cam0",):
                self.offer(camera, image)
            return condition()

        wait_until(offer)

    def wants(self, camera: str = "cam0") -> bool:
        """Whether a picture of a camera is subscribed to, and will be due within a second."""
        return self.branch._demand.is_due(camera, time.monotonic() + 1)

    def end(self) -> None:
        self.branch.finish()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def run() -> Iterator[Running]:
    running = Running(PublishConfig(pictures=ANY_PORT, pictures_fps=60))
    yield running
    running.end()


@pytest.fixture
def subscribe() -> Iterator[Callable[..., zmq.Socket[bytes]]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sockets = []  # keeps them open: a socket without a reference is closed

    def make(endpoint: str | None, *prefixes: bytes, curve: Path | None = None) -> zmq.Socket[bytes]:
        socket = context.socket(zmq.SUB)
        socket.linger, socket.rcvtimeo = 0, 10_000
        if curve is not None:
            key = keys.load_secret(curve / "clients/reader.key_secret")
            socket.curve_publickey, socket.curve_secretkey = key.public, key.secret
            socket.curve_serverkey = keys.load_public(curve / "publisher.key").public
        for prefix in prefixes:
            socket.subscribe(prefix)
        socket.connect(endpoint)
        sockets.append(socket)
        return socket

    yield make
    context.destroy(linger=0)


def received(reader: zmq.Socket[bytes]) -> wire.PictureMessage:
    message = wire.decode(*reader.recv_multipart())
    assert isinstance(message, wire.PictureMessage)
    return message


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
def test_a_reader_gets_the_picture_of_the_very_frame(subscribe: Callable, encoding: str) -> None:
    run = Running(PublishConfig(pictures=ANY_PORT, pictures_fps=60, encoding=encoding))
    reader = subscribe(run.branch.endpoint, b"picture/cam0/320/")
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, 320:] = (0, 0, 255)  # the right half is red
    run.until(lambda: reader.poll(0), image=image)
    topic, payload = reader.recv_multipart()
    picture = wire.decode(topic, payload)
    run.end()
    assert (topic, picture.session, picture.camera, picture.epoch) == (b"picture/cam0/320/", "abc", "cam0", 0)
    assert (picture.seq, picture.captured_ns) == (1000 + picture.frame, picture.frame)
    assert (picture.size, picture.width, picture.height) == ((640, 480), 320, 240)
    shown = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_allclose(shown[120, [80, 240]], [(0, 0, 0), (0, 0, 255)], atol=8)


@pytest.mark.parametrize("is_shown", [True, False])
def test_what_the_motion_gate_sees_is_drawn_only_if_the_configuration_asks_for_it(
    subscribe: Callable, is_shown: bool
) -> None:
    run = Running(PublishConfig(pictures=ANY_PORT, pictures_fps=60, pictures_motion=is_shown))
    reader = subscribe(run.branch.endpoint, b"picture/cam0/320/")
    mask = np.float32([[0, 0], [640, 0], [640, 480], [0, 480]])
    motion = Motion("active", np.zeros((0, 4), np.float32), 0.0, (mask,))
    frame = replace(make_frame(image=np.zeros((480, 640, 3), np.uint8)), motion=motion)
    wait_until(lambda: run.branch.offer(Poses.empty(frame, 0), seq=1) or reader.poll(0))
    jpeg = received(reader).jpeg
    run.end()
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[120, 160].any() == is_shown
    assert not frame.image.any()


@pytest.mark.parametrize("prefix", [b"", b"picture/", b"picture/cam0/", b"picture/cam0/320", b"picture/cam0/400/"])
def test_a_reader_of_a_prefix_alone_makes_no_picture(
    run: Running, subscribe: Callable, monkeypatch: pytest.MonkeyPatch, prefix: bytes
) -> None:
    encoded: list[Frame] = []
    monkeypatch.setattr(module, "to_jpeg", lambda image, size, motion: (encoded.append(size), to_jpeg(image, size))[1])
    reader = subscribe(run.branch.endpoint, prefix, b"picture/yard/320/")
    for _ in range(3):
        run.until(lambda: reader.poll(0), *CAMERAS)  # its subscriptions came in this order
        assert received(reader).camera == "yard"
    assert not run.wants("cam0")


def test_without_a_reader_no_frame_is_kept(run: Running) -> None:
    for _ in range(100):
        run.offer()
    assert run.branch._offers == {}


def test_a_picture_is_encoded_once_for_all_readers_and_widths_of_the_same_size(
    run: Running, subscribe: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    monkeypatch.setattr(module, "to_jpeg", lambda image, size, motion: (sizes.append(size), to_jpeg(image, size))[1])
    image, topics = np.zeros((100, 200, 3), np.uint8), [wire.picture_topic("cam0", width) for width in wire.WIDTHS[1:]]
    readers = [subscribe(run.branch.endpoint, *topics) for _ in range(2)]
    for reader in readers:
        run.until(lambda reader=reader: reader.poll(0) and reader.recv_multipart()[0] == topics[-1], image=image)
    wait_until(lambda: not run.branch._offers and run.branch._demand.is_due("cam0", time.monotonic()))
    sizes.clear()
    number = run.offer(image=image)
    for reader in readers:
        while (picture := received(reader)).frame < number:
            pass
        pictures = [picture, *(received(reader) for _ in topics[1:])]
        assert [(picture.frame, picture.width, picture.height) for picture in pictures] == [(number, 200, 100)] * 3
    assert sizes == [(200, 100)]


def test_the_newest_frame_waits_and_the_publisher_does_not(
    run: Running, subscribe: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_encoding, go = threading.Event(), threading.Event()

    def encode(image: np.ndarray, size: tuple[int, int], motion: Motion | None) -> bytes:
        is_encoding.set()
        assert go.wait(10)
        return to_jpeg(image, size)

    monkeypatch.setattr(module, "to_jpeg", encode)
    reader = subscribe(run.branch.endpoint, b"picture/cam0/320/", b"picture/yard/320/")
    run.until(is_encoding.is_set)
    run.until(lambda: len(run.branch._offers) == 2, *CAMERAS)  # the next picture of both is due
    for _ in range(50):
        newest = {"yard": run.offer("yard"), "cam0": run.offer("cam0")}
    assert {camera: offered[0].index for camera, offered in run.branch._offers.items()} == newest
    go.set()
    first = received(reader)
    assert first.frame < min(newest.values())
    assert {picture.camera: picture.frame for picture in (received(reader), received(reader))} == newest


def test_a_frame_that_jpeg_cannot_hold_is_logged_once_per_camera_and_the_others_are_sent(
    run: Running, subscribe: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    reader = subscribe(run.branch.endpoint, b"picture/cam0/full/", b"picture/yard/full/")
    tall = np.zeros((65_501, 1, 3), np.uint8)
    with caplog.at_level(logging.WARNING):
        wait_until(lambda: (run.offer("cam0", tall), run.branch._explained)[1])
        for _ in range(3):
            run.until(lambda: reader.poll(0), "yard")
            run.offer("cam0", tall)
            assert received(reader).camera == "yard"
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("cam0: no picture of width full is sent: got 1x65501 pixels, expected at most")


def test_a_jpeg_that_is_too_long_for_readers_is_not_sent(
    run: Running, subscribe: Callable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_MOST_JPEG_BYTES", 5_000)
    reader = subscribe(run.branch.endpoint, b"picture/cam0/full/", b"picture/yard/full/")
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    with caplog.at_level(logging.WARNING):
        wait_until(lambda: (run.offer("cam0", noise), run.branch._explained)[1])
        run.until(lambda: reader.poll(0), "yard")
    assert received(reader).camera == "yard"
    assert "expected at most 0.0" in caplog.text


def test_a_picture_is_no_longer_made_when_its_reader_cancels_or_leaves(run: Running, subscribe: Callable) -> None:
    reader, other = (subscribe(run.branch.endpoint, b"picture/cam0/320/") for _ in range(2))
    run.until(lambda: reader.poll(0) and other.poll(0))
    reader.unsubscribe(b"picture/cam0/320/")
    reader.subscribe(b"picture/yard/320/")  # comes after the cancellation
    run.until(lambda: run.wants("yard"))
    assert run.wants("cam0")
    other.close()
    wait_until(lambda: not run.wants("cam0"))
    assert run.wants("yard")


def test_a_camera_that_is_added_later_is_sent_to_a_reader_that_waits_for_it(
    run: Running, subscribe: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.02)
    reader = subscribe(run.branch.endpoint, b"picture/new/320/", b"picture/cam0/320/")
    run.until(lambda: run.wants("cam0"))
    assert not run.wants("new")
    run.cameras.append("new")
    run.until(lambda: run.wants("new"))
    run.cameras.remove("cam0")
    wait_until(lambda: not run.wants("cam0"))
    while reader.poll(100):
        reader.recv_multipart()
    run.until(lambda: reader.poll(0), "cam0", "new")
    assert received(reader).camera == "new"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no priority of a single thread")
def test_the_thread_gives_way_to_all_others(run: Running) -> None:
    wait_until(lambda: run.thread.native_id)
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    wait_until(lambda: os.getpriority(os.PRIO_PROCESS, run.thread.native_id) == min(usual + 10, 19))


def test_only_a_tcp_endpoint_is_announced(tmp_path: Path) -> None:
    for pictures, private, announced in (
        (ANY_PORT, f"ipc://{tmp_path}/private", "tcp://127.0.0.1:"),
        (f"ipc://{tmp_path}/pictures", None, None),
        (None, f"ipc://{tmp_path}/private", None),
    ):
        branch = Pictures(PublishConfig(pictures=pictures), private, "abc", list)
        port = (branch.endpoint or "").removeprefix(announced or "")
        assert (branch.endpoint is None) == (announced is None)
        assert announced is None or int(port) > 0
        branch.close()
    assert list(tmp_path.iterdir()) == []


def test_an_endpoint_that_is_in_use_is_an_error_that_names_its_key(tmp_path: Path) -> None:
    first = Pictures(PublishConfig(pictures=ANY_PORT), None, "abc", list)
    with pytest.raises(OutputError, match=r"^publish.pictures: can't bind tcp://127.0.0.1:\d+: already in use"):
        Pictures(PublishConfig(pictures=first.endpoint), None, "abc", list)
    first.close()
    Pictures(PublishConfig(pictures=first.endpoint), None, "abc", list).close()  # now it is free again
    (tmp_path / "note").write_text("worth keeping")
    with pytest.raises(
        OutputError, match=r"^publish.pictures: can't bind ipc:.*note: the path is not that of a socket"
    ):
        Pictures(PublishConfig(pictures=f"ipc://{tmp_path}/note"), None, "abc", list)


def test_a_reader_without_a_key_gets_pictures_from_the_private_endpoint_only(
    tmp_path: Path, subscribe: Callable
) -> None:
    keys.main([str(tmp_path / "publisher"), str(tmp_path / "clients/reader")])
    config = PublishConfig(pictures=ANY_PORT, pictures_fps=60, curve_secret=tmp_path / "publisher.key_secret")
    run = Running(config, f"ipc://{tmp_path}/private")
    private = subscribe(f"ipc://{tmp_path}/private", b"picture/cam0/320/")
    stranger = subscribe(run.branch.endpoint, b"picture/cam0/320/")
    reader = subscribe(run.branch.endpoint, b"picture/cam0/320/", curve=tmp_path)
    run.until(lambda: private.poll(0) and reader.poll(0))
    assert {received(private).camera, received(reader).camera} == {"cam0"}
    assert not stranger.poll(0)
    run.end()
