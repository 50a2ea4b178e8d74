"""The page of examples/space in a real browser, with an environment of its own: `make space`."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from realtime.capture.demo import DEMO_SIZE, demo_frame
from realtime.recordings.reading import open_recording
from tests.browser.conftest import OpenPage, browser, open_page  # noqa: F401 (fixtures)
from tests.browser.running import is_listening
from tests.capture.clips import write_clip
from tests.faults.test_strangers import free_port

pytestmark = [pytest.mark.space, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-space" / "bin" / "python"
FRAMES = 45
# Runs the app and prints each address to which it connects or that it looks up.
RUN = """
import sys
sys.addaudithook(lambda name, values: name == "socket.connect" and print("connects", values[1], flush=True))
sys.addaudithook(lambda name, values: name == "socket.getaddrinfo" and print("looks up", values[0], flush=True))
sys.path.insert(0, "examples/space")
import app
"""
# Gradio's own: it calls a method that it lacks, previews empty files, and asks for the progress of refused uploads.
DELIBERATE = (
    "Method not implemented", "upload_progress", "status 416", "responded with a status of", "console error: Response",
)  # fmt: skip
# How long a visitor of the test waits: on a busy machine, the models take a while to load.
PATIENCE_MS = 120_000


@contextlib.contextmanager
def running(folder: Path, *more: str, is_plain: bool = True) -> Iterator[str]:
    """Run the app, after the lines of Python in `more`, and yield its address.

    At the end, it has connected to no other machine, left nothing behind and, if `is_plain`, written no traceback.
    """
    port, log = free_port(), folder / "app.log"
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1", "TMPDIR": str(folder)}
    command = [PYTHON, "-c", "\n".join([RUN, *more, "app.main()"])]
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        end_s = time.monotonic() + PATIENCE_MS / 1000
        while not is_listening(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end_s, "the page did not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(30)
    said = log.read_text()
    assert not is_plain or "Traceback" not in said
    addresses = re.findall(r"(?:connects|looks up) \(?'?([^',\s]+)", said)
    assert {each for each in addresses if each not in ("127.0.0.1", "localhost", "::1", "None")} == set()
    assert list(folder.glob("pose-space-*")) == []


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("app")) as address:
        yield address


@pytest.fixture
def visit(app: str, open_page: OpenPage) -> Callable[[str], Page]:  # noqa: F811
    """Return a function that opens the page at a tab."""

    def visit_(tab: str) -> Page:
        page = open_page(app, scheme="light", deliberate=DELIBERATE)
        page.get_by_role("tab", name=tab).click()
        return page

    return visit_


def upload(page: Page, kind: str, file: Path) -> None:
    page.locator(f"input[type=file][accept*={kind}]").set_input_files(file)
    page.locator(f"{'img' if kind == 'image' else 'video'}:visible").wait_for()


def download(page: Page, name: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.locator(f"a[download='{name}']:visible").click()
    waiting.value.save_as(folder / name)
    return folder / name


def test_an_image_gives_a_picture_a_table_and_files(visit: Callable[[str], Page], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "frame.png"), demo_frame(0))
    page = visit("Image")
    upload(page, "image", tmp_path / "frame.png")
    page.get_by_role("button", name="Find people").click()
    page.locator("a[download='poses.csv']:visible").wait_for(timeout=PATIENCE_MS)
    picture = page.locator("img[src*='image.jpeg']")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == DEMO_SIZE[0]
    [message] = open_recording(download(page, "poses.jsonl", tmp_path)).messages()
    assert message.track_ids == [1, 2, 3, 4, 5]
    assert message.keypoints_array().shape == (5, 17, 3)
    with download(page, "poses.csv", tmp_path).open() as table:
        assert [row["person"] for row in csv.DictReader(table)] == ["1", "2", "3", "4", "5"]
    x1 = str(round(float(message.boxes_array()[0, 0])))
    expect(page.get_by_role("gridcell", name=x1, exact=True).first).to_be_visible()


def test_a_video_gives_one_that_the_browser_plays_and_files(visit: Callable[[str], Page], tmp_path: Path) -> None:
    page = visit("Video")
    upload(page, "video", write_demo(tmp_path / "clip.mp4"))
    page.get_by_role("button", name="Track people").click()
    expect(page.get_by_text(f"{FRAMES} frames, 1.5 s, people: 5.")).to_be_visible(timeout=PATIENCE_MS)
    video = page.locator("video[src*='people.mp4']")
    assert video.evaluate("video => video.play().then(() => [video.videoWidth, video.videoHeight])") == list(DEMO_SIZE)
    messages = list(open_recording(download(page, "poses.jsonl", tmp_path)).messages())
    assert [message.seq for message in messages] == list(range(FRAMES))
    assert sorted(messages[-1].track_ids) == [1, 2, 3, 4, 5]
    with download(page, "poses.csv", tmp_path).open() as table:
        assert sum(1 for _ in table) == 1 + sum(len(message.track_ids) for message in messages)
    with page.expect_download() as waiting:
        page.locator("a[download][href*='people.mp4']:visible").click()
    with av.open(waiting.value.path()) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in container.decode(video=0)) == FRAMES


def write_demo(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = *DEMO_SIZE, "yuv420p"
        for k in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(demo_frame(k), "bgr24")))
        container.mux(stream.encode())
    return path


def write_large_picture(path: Path) -> None:
    cv2.imwrite(str(path), demo_frame(0)[:1, :1].repeat(7100, 0).repeat(7100, 1))


def write_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), "fltp", "mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


BAD = [
    # nothing at all
    ("Image", "", lambda path: None, "Upload an image first."),
    ("Image", "bad.png", lambda path: path.write_bytes(b"no picture" * 99), "bad.png: not an image"),
    ("Image", "large.png", write_large_picture, "large.png: too large: got 7100x7100"),
    ("Video", "bad.mp4", lambda path: path.write_bytes(b"no video" * 99), "bad.mp4: not a video or an image"),
    ("Video", "empty.mp4", lambda path: path.write_bytes(b""), "the file is empty"),
    # sound only
    ("Video", "none.mp4", write_sound, "none.mp4: no video track"),
    # beyond 4K
    ("Video", "large.mp4", lambda path: write_clip(path, 1, (4400, 2200)), "large.mp4: too large: got 4400x2200"),
    # a file that the page refuses while it is being uploaded
    ("Video", "heavy.mp4", lambda path: path.write_bytes(bytes(51 * 2**20)), "exceed the maximum allowed size of 50"),
]


@pytest.mark.parametrize(("tab", "name", "write", "said"), BAD, ids=[f"{case[0]} {case[1]}" for case in BAD])
def test_a_bad_upload_gives_one_plain_line(
    tab: str, name: str, write: Callable[[Path], None], said: str, visit: Callable[[str], Page], tmp_path: Path
) -> None:
    page = visit(tab)
    if name:
        write(tmp_path / name)
        page.locator(f"input[type=file][accept*={tab.lower()}]").set_input_files(tmp_path / name)
    page.get_by_role("button", name="Find people" if tab == "Image" else "Track people").click()
    expect(page.get_by_text(said).first).to_be_visible(timeout=PATIENCE_MS)


def test_a_forged_request_makes_the_server_load_no_address_and_open_no_file(
    open_page: OpenPage,  # noqa: F811
    tmp_path: Path,
) -> None:
    def answer(place: int, path: str, is_stream: bool = False) -> str:
        data: list[object] = [None, "auto", 0.3]
        data[place] = {"path": path, "is_stream": is_stream, "meta": {"_type": "gradio.FileData"}}
        join = {"data": data, "fn_index": 0, "session_hash": "forged"}
        assert request.post(f"{address}gradio_api/queue/join", data=join).ok
        replies = request.get(f"{address}gradio_api/queue/data?session_hash=forged").text()
        [done] = re.findall(r"data: (.*process_completed.*)", replies)
        assert json.loads(done)["success"] is False
        return done

    with running(tmp_path, "app.tracker_for = lambda *_: None", is_plain=False) as address:
        page = open_page(address, scheme="light", deliberate=DELIBERATE)
        request = page.request
        for place in (0, 1):  # the image, and the name of the model
            for path in ("/etc/hostname", "demo", "rtsp://192.0.2.1/x"):
                answer(place, path)
            assert "Upload a file instead of an address" in answer(place, "http://192.0.2.1/x.png")
        assert "Upload a file instead of an address" in answer(0, "http://192.0.2.1/x.png", is_stream=True)
        page.close()


def test_only_the_beginning_of_a_long_video_is_used_and_the_page_says_so(
    visit: Callable[[str], Page], tmp_path: Path
) -> None:
    page = visit("Video")
    upload(page, "video", write_clip(tmp_path / "long.mp4", 25, fps=1))
    page.get_by_role("button", name="Track people").click()
    expect(page.get_by_text("21 frames, 20.0 s, people: 0. The rest was left out.")).to_be_visible(timeout=PATIENCE_MS)


def test_uploads_are_refused_while_there_is_no_room(open_page: OpenPage, tmp_path: Path) -> None:  # noqa: F811
    cv2.imwrite(str(tmp_path / "frame.png"), demo_frame(0))
    with running(tmp_path, "app.tracker_for, app.MAX_DISK_MB = lambda *_: None, -1") as address:
        page = open_page(address, scheme="light", deliberate=(*DELIBERATE, "status 507"))
        page.locator("input[type=file][accept*=image]").set_input_files(tmp_path / "frame.png")
        expect(page.get_by_text("There is no room for more uploads.").first).to_be_visible()
        page.close()
