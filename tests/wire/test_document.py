import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import zmq

from realtime import wire
from realtime.skeleton import COCO17
from realtime.skeletons import SKELETONS
from realtime.wire.document import json_schema, with_tables
from tests.wire.examples import INFO, STATUS, pose

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MESSAGES = ("PoseMessage", "InfoMessage", "StatusMessage", "PictureMessage")
TABLES = (*MESSAGES, "coco17", "skeletons")


def test_the_generated_documentation_is_up_to_date():
    # If this fails, run: make docs
    page = (DOCS / "wire.md").read_text(encoding="utf-8")
    assert with_tables(page) == page
    assert json_schema() == (DOCS / "wire.schema.json").read_bytes()


def test_the_tables_are_generated_from_the_structs():
    page = "\n".join(f"<!-- {name} -->\nold\n<!-- /{name} -->" for name in TABLES)
    written = with_tables(page)
    assert "old" not in written
    for kind in (getattr(wire, name) for name in MESSAGES):
        for key in kind.__struct_fields__:
            assert f"| `{key}` |" in written
    for index, name in enumerate(COCO17.keypoint_names):
        assert f"| {index} | `{name}` |" in written


def test_every_published_set_has_a_row_with_its_names():
    page = (DOCS / "wire.md").read_text(encoding="utf-8")
    for skeleton in SKELETONS.values():
        assert f"| `{skeleton.name}` | {len(skeleton)} | " in page
    for row in ("0-16 as `coco17`; 17 `left_big_toe`; ", "; 23-90 `face-0` to `67`; 91 `left_hand_root`; ",
                "; 92-95 `left_thumb1` to `4`; ", "129-132 `right_pinky_finger1` to `4` |"):  # fmt: skip
        assert row in page


def test_the_schema_requires_every_key_that_is_always_sent():
    definitions = json.loads(json_schema())["$defs"]
    for name, message in (("PoseMessageJson", pose()), ("InfoMessage", INFO), ("StatusMessage", STATUS)):
        assert definitions[name]["required"] == list(json.loads(wire.encode(message, "json")))


@contextlib.contextmanager
def documented_reader(number: int, topic: bytes, folder: Path) -> Iterator[tuple[zmq.Socket[bytes], TextIO]]:
    """Run an example of docs/wire.md. Give a publisher that it has subscribed to, and the example's output."""
    code = re.findall(r"```python\n(.*?)```", (DOCS / "wire.md").read_text(encoding="utf-8"), re.DOTALL)[number]
    with zmq.Context() as context, context.socket(zmq.XPUB) as publisher:
        publisher.linger = 0
        publisher.bind("tcp://127.0.0.1:*")
        code, replaced = re.subn(r"tcp://127.0.0.1:\d+", publisher.last_endpoint.decode(), code)
        assert replaced == 1
        program = [sys.executable, "-c", code]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=folder) as reader:
            try:
                assert publisher.poll(30_000), "the subscriber never joined"
                assert publisher.recv() == b"\x01" + topic
                yield publisher, reader.stdout
            finally:
                reader.kill()


def test_the_subscriber_in_the_documentation_reads_the_stream(tmp_path):
    message = pose(n=2, k=3)
    with documented_reader(0, b"pose/", tmp_path) as (publisher, output):
        publisher.send_multipart([b"pose/cam0/", wire.encode(pose(n=0), "msgpack")])
        publisher.send_multipart([b"pose/cam0/", wire.encode(message, "msgpack")])
        lines = [output.readline() for _ in range(2)]
    for i, line in enumerate(lines):
        first = tuple(message.keypoints_array()[i, 0].tolist())
        assert line == f"cam0 7 id {i + 1} first keypoint [{first}]\n"


def test_the_subscriber_of_pictures_in_the_documentation_saves_them(tmp_path):
    picture = wire.PictureMessage(
        session="s1", camera="cam0", epoch=0, seq=7, frame=9, captured_ns=1, size=(640, 480), width=320, height=240,
        jpeg=b"\xff\xd8\xff\xd9",
    )  # fmt: skip
    with documented_reader(1, b"picture/cam0/320/", tmp_path) as (publisher, output):
        publisher.send_multipart([wire.picture_topic("cam0", "320"), wire.encode(picture, "msgpack")])
        assert output.readline() == "cam0 seq 7 320 x 240\n"
    assert (tmp_path / "cam0.jpg").read_bytes() == picture.jpeg
