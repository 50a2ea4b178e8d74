import json
import re
import subprocess
import sys
from pathlib import Path

import msgpack
import msgspec
import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from realtime import wire

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def pose(n=2, k=3, **changes):
    """A pose message of N people with K keypoints."""
    random = np.random.default_rng(n + k)
    fields = {
        "session": "s1",
        "camera": "cam0",
        "epoch": 0,
        "seq": 5,
        "frame": 7,
        "captured_ns": 1_700_000_000_000_000_000,
        "clock": "arrival",
        "published_ns": 1_700_000_000_050_000_000,
        "media_s": 0.25,
        "size": (640, 480),
        "skeleton": "coco17" if k else "none",
        "track_ids": np.arange(1, n + 1),
        "scores": random.random(n, np.float32),
        "boxes": random.random((n, 4), np.float32),
        "keypoints": random.random((n, k, 2), np.float32) * 600,
        "keypoint_scores": random.random((n, k), np.float32),
        "measured": np.ones(n, np.bool_),
        "timing_ms": {"detect": 10.5, "wait": 1.0},
    }
    return wire.pose_message(**fields | changes)


INFO = wire.InfoMessage(
    session="s1",
    camera="cam0",
    keypoint_names=["nose", "left_eye"],
    edges=[(0, 1)],
    detector="yolo11n",
    pose="vitpose",
    device="cpu",
    smoothing="one-euro",
    source_fps=None,
    size=None,
    version="0.1.0",
)
STATUS = wire.StatusMessage(
    session="s1",
    camera="cam0",
    state="live",
    reason=None,
    captured=10,
    dropped=1,
    published=9,
    fps=29.9,
    latency_ms={"p50": 50.0, "p95": 60.0, "p99": 70.0},
    uptime_s=3.5,
)


# ---- round trips


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
@pytest.mark.parametrize(
    ("topic", "message"),
    [
        (wire.pose_topic("cam0"), pose()),
        (wire.pose_topic("cam0"), pose(n=0)),  # no people
        (wire.pose_topic("cam0"), pose(k=0)),  # --pose.model none
        (wire.pose_topic("cam0"), pose(media_s=None)),
        (wire.info_topic("cam0"), INFO),
        (wire.status_topic("cam0"), STATUS),
    ],
)
def test_decode_reverses_encode(topic, message, encoding):
    assert wire.decode(topic, wire.encode(message, encoding)) == message


@given(
    keypoints=stn.arrays(
        np.float32,
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.just(2)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    encoding=st.sampled_from(["msgpack", "json"]),
)
@settings(max_examples=50, deadline=None)
def test_every_float32_survives_both_encodings(keypoints, encoding):
    n, k, _ = keypoints.shape
    sent = pose(n, k, keypoints=keypoints)
    got = wire.decode(b"pose/cam0/", wire.encode(sent, encoding)).keypoints_array()
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[..., :2], keypoints if n and k else got[..., :2])


def test_the_arrays_have_the_documented_shapes():
    message = pose(n=2, k=3)
    assert message.boxes_array().shape == (2, 4)
    assert message.keypoints_array().shape == (2, 3, 3)
    assert pose(n=2, k=0).keypoints_array().shape == (2, 0, 3)
    assert pose(n=0).keypoints_array().shape == (0, 0, 3)


def test_any_msgpack_library_can_decode_the_binary_form():
    message = pose()
    got = msgpack.unpackb(wire.encode(message, "msgpack"))
    assert list(got) == [key for key in wire.PoseMessage.__struct_fields__ if key not in wire.OPTIONAL]
    assert got["schema"] == "pose/1"
    assert got["track_ids"] == [1, 2]
    keypoints = np.frombuffer(got["keypoints"], "<f4").reshape(2, 3, 3)
    np.testing.assert_array_equal(keypoints, message.keypoints_array())


def test_the_json_form_contains_nested_lists():
    message = pose()
    got = json.loads(wire.encode(message, "json"))
    assert list(got) == [key for key in wire.PoseMessage.__struct_fields__ if key not in wire.OPTIONAL]
    np.testing.assert_array_equal(np.array(got["boxes"], np.float32), message.boxes_array())
    np.testing.assert_array_equal(np.array(got["keypoints"], np.float32), message.keypoints_array())
    assert json.loads(wire.encode(pose(k=0), "json"))["keypoints"] == []


def test_topics_end_in_a_slash():
    assert [wire.pose_topic("a"), wire.info_topic("a"), wire.status_topic("a")] == [
        b"pose/a/",
        b"info/a/",
        b"status/a/",
    ]


@pytest.mark.parametrize("encode", [msgspec.msgpack.encode, msgspec.json.encode])
def test_unknown_keys_are_ignored(encode):
    fields = msgspec.to_builtins(STATUS) | {"mood": {"new": [1, 2]}}
    assert wire.decode(b"status/cam0/", encode(fields)) == STATUS


# ---- messages that can't be decoded


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
def test_an_unknown_schema_raises_an_error_that_says_got_and_expected(encoding):
    encode = {"msgpack": msgspec.msgpack.encode, "json": msgspec.json.encode}[encoding]
    with pytest.raises(wire.WireError, match=r"schema: got 'pose/2', expected 'pose/1'"):
        wire.decode(b"pose/cam0/", encode({"schema": "pose/2", "people": []}))


GOOD = wire.encode(pose(), "msgpack")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"{}",  # no schema
        b"hello",
        b"\x80",  # an empty map
        b"\xc1",  # a byte that msgpack never uses
        GOOD[:-1],  # truncated
        GOOD + b"\x00",  # one byte too long
        b'{"schema": "pose/1"}',  # missing keys
        b'{"schema": "pose/1", "x": ' + b"[" * 100_000,  # nested deeper than any parser allows
        b'{"schema": "pose/1", "camera": "\xff"}',  # not UTF-8
    ],
)
def test_a_malformed_payload_raises_a_wire_error(payload):
    with pytest.raises(wire.WireError):
        wire.decode(b"pose/cam0/", payload)


@given(payload=st.binary(max_size=60) | st.binary(max_size=60).map(lambda b: b"{" + b))
@settings(max_examples=200, deadline=None)
def test_random_bytes_raise_a_wire_error_and_no_other(payload):
    with pytest.raises(wire.WireError):
        wire.decode(b"pose/cam0/", payload)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("boxes", b"\0" * 31),  # 2 people need 32 bytes
        ("keypoints", b"\0" * 25),  # not 2 x K x 12
        ("scores", [0.5]),
        ("measured", [True] * 3),
        ("boxes", np.full(8, np.nan, "<f4").tobytes()),
        ("keypoints", np.full(6, np.inf, "<f4").tobytes()),
        ("scores", [0.5, float("nan")]),
        ("clock", "sundial"),
    ],
)
def test_an_inconsistent_message_raises_a_wire_error_that_names_the_key(key, value):
    fields = msgspec.to_builtins(pose(), builtin_types=(bytes,)) | {key: value}
    with pytest.raises(wire.WireError, match=key):
        wire.decode(b"pose/cam0/", msgspec.msgpack.encode(fields))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("boxes", [[1, 2, 3, 4]]),  # one box for two people
        ("boxes", [[1, 2, 3], [1, 2, 3]]),  # three coordinates instead of four
        ("keypoints", [[[1, 2, 0.5]], []]),  # ragged
        ("keypoints", [[[1, 2, 0.5], [1, 2, 0.5]]]),  # one person instead of two
        ("keypoints", [[[1, 2, 1e39]], [[1, 2, 0.5]]]),  # beyond float32
    ],
)
def test_inconsistent_json_raises_a_wire_error_that_names_the_key(key, value):
    fields = json.loads(wire.encode(pose(), "json")) | {key: value}
    with pytest.raises(wire.WireError, match=key):
        wire.decode(b"pose/cam0/", json.dumps(fields).encode())


@pytest.mark.parametrize("topic", [b"", b"pose", b"pose/cam0", b"pose/cam0/x", b"mood/cam0/", b"\xff\xfe"])
def test_an_unknown_topic_raises_a_wire_error(topic):
    with pytest.raises(wire.WireError, match="expected pose/CAMERA/"):
        wire.decode(topic, GOOD)


# ---- messages that can't be built


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("key", ["boxes", "keypoints", "keypoint_scores", "scores"])
def test_arrays_with_nan_or_infinity_are_rejected(key, bad):
    shape = {"boxes": (2, 4), "keypoints": (2, 3, 2), "keypoint_scores": (2, 3), "scores": (2,)}[key]
    with pytest.raises(ValueError, match="expected finite"):
        pose(**{key: np.full(shape, bad, np.float32)})


def test_other_fields_with_nan_or_infinity_are_rejected():
    for changes in ({"media_s": float("nan")}, {"timing_ms": {"detect": float("inf")}}):
        with pytest.raises(ValueError, match=next(iter(changes))):
            pose(**changes)
    with pytest.raises(ValueError, match="fps"):
        msgspec.structs.replace(STATUS, fps=float("nan"))
    with pytest.raises(ValueError, match="source_fps"):
        msgspec.structs.replace(INFO, source_fps=float("inf"))


def test_arrays_of_different_lengths_are_rejected():
    with pytest.raises(ValueError, match=r"got boxes \(1, 4\)"):
        pose(boxes=np.zeros((1, 4), np.float32))


# ---- the documentation


def test_the_generated_documentation_is_up_to_date():
    # If this fails, run: python -m realtime.wire docs
    page = (DOCS / "wire.md").read_text(encoding="utf-8")
    assert wire.with_tables(page) == page
    assert wire.json_schema() == (DOCS / "wire.schema.json").read_bytes()


def test_the_tables_are_generated_from_the_structs():
    page = "\n".join(f"<!-- {m} -->\nold\n<!-- /{m} -->" for m in ("PoseMessage", "InfoMessage", "StatusMessage"))
    written = wire.with_tables(page)
    assert "old" not in written
    for kind in (wire.PoseMessage, wire.InfoMessage, wire.StatusMessage):
        for key in kind.__struct_fields__:
            assert f"| `{key}` |" in written


def test_the_schema_requires_every_key_that_is_always_sent():
    definitions = json.loads(wire.json_schema())["$defs"]
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


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
@pytest.mark.parametrize(("n", "k"), [(3, 17), (1, 2), (0, 17), (2, 0)])
def test_raw_keypoints_are_sent_only_if_they_are_passed(encoding, n, k):
    raw = np.random.default_rng(3).random((n, k, 2), np.float32) * 600
    message = pose(n, k, raw_keypoints=raw)
    got = wire.decode(wire.pose_topic("cam0"), wire.encode(message, encoding))
    assert got == message
    np.testing.assert_array_equal(got.raw_array().reshape(-1, 2), raw.reshape(-1, 2))
    assert wire.decode(wire.pose_topic("cam0"), wire.encode(pose(n, k), encoding)).raw_array() is None


def test_raw_keypoints_of_another_shape_are_rejected():
    fields = {name: getattr(pose(), name) for name in wire.PoseMessage.__struct_fields__}
    with pytest.raises(ValueError, match="raw_keypoints: got 8"):
        wire.PoseMessage(**fields | {"raw_keypoints": bytes(8)})
    text = json.loads(wire.encode(pose(raw_keypoints=np.zeros((2, 3, 2), np.float32)), "json"))
    text["raw_keypoints"][0].pop()
    with pytest.raises(wire.WireError, match="as many people and keypoints"):
        wire.decode(wire.pose_topic("cam0"), json.dumps(text).encode())
