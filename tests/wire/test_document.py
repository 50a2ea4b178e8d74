import json
import re
import subprocess
import sys
from pathlib import Path

import zmq

from realtime import wire
from realtime.wire.document import json_schema, with_tables
from tests.wire.examples import INFO, STATUS, pose

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MESSAGES = ("PoseMessage", "InfoMessage", "StatusMessage", "PictureMessage")


def test_the_generated_documentation_is_up_to_date():
    # If this fails, run: make docs
    page = (DOCS / "wire.md").read_text(encoding="utf-8")
    assert with_tables(page) == page
    assert json_schema() == (DOCS / "wire.schema.json").read_bytes()


def test_the_tables_are_generated_from_the_structs():
    page = "\n".join(f"<!-- {m} -->\nold\n<!-- /{m} -->" for m in MESSAGES)
    written = with_tables(page)
    assert "old" not in written
    for kind in (getattr(wire, name) for name in MESSAGES):
        for key in kind.__struct_fields__:
            assert f"| `{key}` |" in written


def test_the_schema_requires_every_key_that_is_always_sent():
    definitions = json.loads(json_schema())["$defs"]
    for name, message in (("PoseMessageJson", pose()), ("InfoMessage", INFO), ("StatusMessage", STATUS)):
        assert definitions[name]["required"] == list(json.loads(wire.encode(message, "json")))


def test_the_subscriber_in_the_documentation_reads_the_stream():
    [code] = re.findall(r"```python\n(.*?)```", (DOCS / "wire.md").read_text(encoding="utf-8"), re.DOTALL)
    with zmq.Context() as context, context.socket(zmq.XPUB) as publisher:
        publisher.linger = 0
        publisher.bind("tcp://127.0.0.1:*")
        endpoint = publisher.last_endpoint.decode()
        assert "tcp://127.0.0.1:5555" in code
        program = [sys.executable, "-c", code.replace("tcp://127.0.0.1:5555", endpoint)]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as reader:
            try:
                assert publisher.poll(30_000), "the subscriber never joined"
                assert publisher.recv() == b"\x01pose/"
                message = pose(n=2, k=3)
                publisher.send_multipart([b"pose/cam0/", wire.encode(pose(n=0), "msgpack")])
                publisher.send_multipart([b"pose/cam0/", wire.encode(message, "msgpack")])
                lines = [reader.stdout.readline() for _ in range(2)]
            finally:
                reader.kill()
    for i, line in enumerate(lines):
        first = tuple(message.keypoints_array()[i, 0].tolist())
        assert line == f"cam0 7 id {i + 1} first keypoint [{first}]\n"
