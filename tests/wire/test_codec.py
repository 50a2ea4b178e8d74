import json

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from realtime import wire
from tests.wire.examples import INFO, STATUS, pose

# ---- round trips


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
@pytest.mark.parametrize(
    ("topic", "message"),
    [
        (wire.pose_topic("cam0"), pose()),
        (wire.pose_topic("cam0"), pose(n=0)),  # no people
        (wire.pose_topic("cam0"), pose(k=0)),  # --pose.model none
        (wire.pose_topic("cam0"), pose(media_s=None)),
        (wire.pose_topic("cam0"), pose(labels=["person", "traffic light"])),
        (wire.pose_topic("cam0"), pose(n=0, labels=[])),  # sent, although nothing was found
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


@pytest.mark.parametrize("encode", [msgspec.msgpack.encode, msgspec.json.encode])
def test_unknown_keys_are_ignored(encode):
    fields = msgspec.to_builtins(STATUS) | {"mood": {"new": [1, 2]}}
    assert wire.decode(b"status/cam0/", encode(fields)) == STATUS


@pytest.mark.parametrize("encode", [msgspec.msgpack.encode, msgspec.json.encode])
def test_a_status_of_an_older_publisher_says_nothing_about_a_recording(encode):
    fields = msgspec.to_builtins(STATUS)
    del fields["recording"]
    assert wire.decode(b"status/cam0/", encode(fields)).recording is None


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
        ("labels", ["cat"]),
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


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**400])
@pytest.mark.parametrize(
    ("message", "key", "value"),
    [
        *((pose(), key, "{}") for key in ("epoch", "seq", "frame", "captured_ns", "published_ns")),
        (pose(), "track_ids", "[1, {}]"),
        (pose(), "size", "[640, {}]"),
        *((STATUS, key, "{}") for key in ("captured", "dropped", "published", "since_ns")),
        (STATUS, "drops", '{{"corrupt": {}}}'),
        (STATUS, "reconnects", '{{"timed out": {}}}'),
        (STATUS, "tracks_started", "[{}]"),
    ],
)
def test_an_integer_beyond_64_bits_raises_a_wire_error_that_names_the_key(message, key, value, number):
    """JSON has them. A reader that converts one to a float would fail."""
    fields = json.loads(wire.encode(message, "json")) | {key: "VALUE"}
    payload = json.dumps(fields).replace('"VALUE"', value.format(number))
    topic = wire.pose_topic("cam0") if message is not STATUS else wire.status_topic("cam0")
    with pytest.raises(wire.WireError, match=key):
        wire.decode(topic, payload.encode())


@pytest.mark.parametrize("topic", [b"", b"pose", b"pose/cam0", b"pose/cam0/x", b"mood/cam0/", b"\xff\xfe"])
def test_an_unknown_topic_raises_a_wire_error(topic):
    with pytest.raises(wire.WireError, match="expected pose/CAMERA/"):
        wire.decode(topic, GOOD)


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


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
def test_a_picture_arrives_as_it_was_sent(encoding):
    picture = wire.PictureMessage(
        session="s1", camera="cam0", epoch=0, seq=7, frame=9, captured_ns=1, size=(640, 480), width=320, height=240,
        jpeg=b"\xff\xd8\xff\xd9",
    )  # fmt: skip
    payload = wire.encode(picture, encoding)
    assert wire.decode(wire.picture_topic("cam0", "320"), payload) == picture
    with pytest.raises(wire.WireError, match="topic"):
        wire.decode(b"picture/cam0/", payload)
