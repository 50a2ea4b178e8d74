"""Messages of strangers."""

import json

import pytest

from realtime import wire
from realtime.dashboard.limits import MOST_KEPT, Kept, jpeg_size, read
from tests.dashboard.sample import JPEG, picture
from tests.wire import examples, publisher


def as_json(message, **changes):
    return json.dumps({**json.loads(wire.encode(message, "json")), **changes}).encode()


STATUS, POSE = as_json(publisher.status()), as_json(publisher.pose())


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (b"pose/cam0/", POSE),
        (b"status/cam0/", STATUS),
        (b"info/cam0/", as_json(publisher.info())),
        (b"picture/cam0/320/", wire.encode(picture(), "msgpack")),
    ],
)
def test_messages_of_ours_are_read(topic, payload):
    assert read(topic, payload).camera == "cam0"


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (b"status/cam1/", STATUS),  # another name than the topic says
        (b"status/a b/", as_json(publisher.status("a b"))),
        (b"status/<b>/", as_json(publisher.status("<b>"))),
        (b"status/\xff/", STATUS),
        (b"status//", STATUS),
        (b"status/" + b"a" * 65 + b"/", as_json(publisher.status("a" * 65))),
        (b"status/cam0/", STATUS + b" " * 70_000),
        (b"status/cam0/", as_json(publisher.status(), drops={str(cause): 1 for cause in range(2000)})),
        (b"status/cam0/", as_json(publisher.status(), session="s" * 200)),
        (b"status/cam0/", b"[" * 10_000),
        (b"status/cam0/", b"\xc1"),
        (b"pose/cam0/", wire.encode(publisher.pose(n=1001), "msgpack")),
        (b"pose/cam0/", as_json(publisher.pose(), size=[0, 480])),
        (b"pose/cam0/", as_json(publisher.pose(), size=[10**9, 480])),
        (b"picture/cam0/320/", wire.encode(picture(jpeg=b"<svg onload='alert(1)'/>"), "msgpack")),
        (b"picture/cam0/320/", wire.encode(picture(jpeg=b""), "msgpack")),
        (b"picture/cam0/320/", wire.encode(picture(width=321), "msgpack")),  # the header says 320
        (b"", b""),
    ],
)
def test_messages_beyond_the_limits_are_refused(topic, payload):
    with pytest.raises(wire.WireError):
        read(topic, payload)


def test_a_picture_that_claims_a_huge_size_is_refused():
    huge = JPEG[:7] + b"\xff\xff\xff\xff" + JPEG[11:]
    assert jpeg_size(huge) == (65535, 65535)
    with pytest.raises(wire.WireError):
        read(b"picture/cam0/full/", wire.encode(picture(jpeg=huge, width=65535, height=65535), "msgpack"))


@pytest.mark.parametrize("end", range(len(JPEG)))
def test_a_cut_off_header_is_no_jpeg_or_the_whole_one(end):
    assert jpeg_size(JPEG[:end]) in (None, (320, 240))


def test_segments_before_the_frame_header_are_skipped():
    exif = b"\xff\xe1\x00\x06abcd"
    assert jpeg_size(JPEG[:2] + exif + JPEG[2:]) == (320, 240)
    assert jpeg_size(JPEG[:2] + b"\xff\xe1\x00\x00" + JPEG[2:]) is None


def test_the_payloads_of_a_pipeline_are_bounded_together():
    kept = Kept()
    assert kept.fits(b"pose/cam0/", MOST_KEPT - 10)
    assert not kept.fits(b"pose/cam1/", 11)
    assert kept.fits(b"pose/cam0/", 100)  # instead of the first
    assert kept.fits(b"pose/cam1/", 11)


def test_cameras_that_have_left_no_longer_count():
    kept = Kept()
    kept.fits(b"pose/cam0/", MOST_KEPT)
    kept.keep_only([])
    assert kept.fits(b"pose/cam1/", MOST_KEPT)


def test_examples_of_the_wire_are_within_the_limits():
    assert read(b"info/cam0/", wire.encode(examples.INFO, "msgpack")) == examples.INFO
