"""Motion JPEG in parts over HTTP, from usual and from odd servers."""

import contextlib
import itertools
import random
import threading

import numpy as np
import pytest

from realtime.capture import multipart
from realtime.capture.multipart import Parts
from realtime.capture.stream import StreamSource
from realtime.errors import SourceError, SourceReason

from .httpcam import HttpCamera, jpeg, part
from .rig import Rig

JPEGS = [jpeg(40 * i) for i in range(5)]
END = b"--frame--\r\n"


class Stream:
    """An open HTTP stream whose bytes arrive in these pieces."""

    def __init__(self, pieces):
        self.pieces, self.closed = pieces, False

    def demux(self):
        for piece in self.pieces:
            yield np.frombuffer(piece, np.uint8)

    def close(self):
        self.closed = True


def pieces_of(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def parts_of(pieces, max_pixels=3_000_000, part_s=10.0):
    return Parts(Stream(pieces), "http://cam", max_pixels, part_s, opens_by_s=float("inf"))


def jpegs_of(parts, size=1000):
    """The JPEGs that a demuxer would find in the file."""
    text = b"".join(iter(lambda: parts.read(size), b""))
    found = []
    while text:
        head, _, rest = text.partition(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2])
        found.append(rest[:length])
        text = rest[length + 2 :]
    return found


# Streams that hold JPEGS: each is one way in which servers write them.
USUAL = {
    "with lengths": b"".join(map(part, JPEGS)),
    "without lengths": b"".join(part(each, length=None) for each in JPEGS) + END,
    "with an end": b"".join(map(part, JPEGS)) + END + b"more",
    "no Content-Type": b"".join(part(each, "X-Time: 1") for each in JPEGS),
    "another case": b"".join(part(each, f"content-LENGTH:{len(each)}", length=None) for each in JPEGS),
    "a line break first": b"\r\n" + b"".join(map(part, JPEGS)),
    "plain line feeds": b"".join(b"--frame\nContent-Length: %d\n\n%s\n" % (len(each), each) for each in JPEGS),
    "no line break after a picture": b"".join(part(each)[:-2] for each in JPEGS),
    "a long boundary": b"".join(part(each, boundary="--" + "b" * 70) for each in JPEGS),
    "four hyphens": b"".join(part(each, boundary="----frame") for each in JPEGS),
    "a length of zero": b"".join(part(each, length=0) for each in JPEGS) + END,
    "other parts": b"".join(part(each) + part(b"hello", "Content-Type: text/plain") for each in JPEGS),
    "too short lengths": b"".join(part(each + b"\0" * 9, length=len(each)) for each in JPEGS),
    "a boundary in a picture": b"".join(part(each + b"\r\n--frame\r\n") for each in JPEGS),
}  # fmt: skip


@pytest.mark.parametrize("data", USUAL.values(), ids=USUAL)
@pytest.mark.parametrize("size", [1, 7, 65536])
def test_the_pictures_of_any_usual_stream_are_found(data, size):
    parts = parts_of(pieces_of(data, size))
    assert parts.begin()
    assert [each.partition(b"\xff\xd9")[0] for each in jpegs_of(parts)] == [each[:-2] for each in JPEGS]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (part(b"", length=2_000_000_000), "too large: a part has more than 1,500,000 bytes"),
        (part(b"", length=999_999_999_999), "too large: a part has more than 1,500,000 bytes"),
        (part(b"z" * 2_000_000, length=None), "too large: a part has more than 1,500,000 bytes"),
        (part(JPEGS[0]) + b"z" * 2_000_000, "too large: a part has more than 1,500,000 bytes"),
        (part(JPEGS[0]) + b"z\n" * 1_000_000, "too large: a part has more than 1,500,000 bytes"),
        (b"--frame\r\nX: " + b"z" * 100_000, "the header of a part has more than 16,384 bytes"),
        (b"--frame\r\n" + b"X: z\r\n" * 10_000, "the header of a part has more than 16,384 bytes"),
    ],
)
def test_what_has_no_end_is_one_line_and_is_not_kept(data, says):
    taken = itertools.count()
    endless = (
        (next(taken), piece)[1] for piece in itertools.chain(pieces_of(data, 65536), itertools.repeat(b"z" * 65536))
    )
    parts = parts_of(endless)
    with pytest.raises(SourceError, match=f"^http://cam: {says}") as caught:
        jpegs_of(parts)
    assert caught.value.reason in (SourceReason.TOO_LARGE, SourceReason.NOT_MEDIA)
    assert next(taken) * 65536 < 2_000_000


def test_a_part_that_takes_too_long_is_one_line():
    parts = parts_of(itertools.repeat(b"--frame\r\n\r\nhello\r\n"), part_s=-1.0)
    with pytest.raises(SourceError, match=r"^http://cam: timed out: no complete picture for -1.0 s$") as caught:
        parts.read(1000)
    assert caught.value.reason is SourceReason.TIMEOUT


def test_random_damage_ends_the_stream_or_is_one_line():
    rng = random.Random(0)
    for _ in range(300):
        data = bytearray(rng.choice(list(USUAL.values())))
        for _ in range(rng.randrange(1, 40)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        parts = parts_of(pieces_of(bytes(data), rng.randrange(1, 3000)))
        with contextlib.suppress(SourceError):
            if parts.begin():
                jpegs_of(parts)


@pytest.mark.parametrize("start", [b"", b"\r\n", b"-", b"<html>", b"\xff\xd8\xff", b"\0\0\0\x18ftypmp42"])
def test_another_stream_does_not_begin_like_one_in_parts(start):
    assert not parts_of([start] if start else []).begin()


# ---- over HTTP


def many(write):
    for number in itertools.count():
        write(part(JPEGS[number % len(JPEGS)]))
        threading.Event().wait(0.02)


def test_a_camera_is_read_over_http_and_closed():
    with HttpCamera(many) as camera:
        source = StreamSource(camera.url, network=True)
        try:
            assert (source.live, source.size, source.fps) == (True, (64, 48), None)
            pictures = [source.read() for _ in range(10)]
        finally:
            source.close()
        assert camera.gone.wait(10)
    values = [int(each.image[0, 0, 0]) for each in pictures]
    assert values == [40 * (i % 5) for i in range(values[0] // 40, values[0] // 40 + 10)]
    assert {each.media_s for each in pictures} == {None}


def test_parts_without_a_content_type_are_read_over_http():
    def respond(write):
        for number in itertools.count():
            write(part(JPEGS[number % 5], "X-Time: 1"))
            threading.Event().wait(0.02)

    with HttpCamera(respond) as camera:
        source = StreamSource(camera.url, network=True)
        assert source.read().image.shape == (48, 64, 3)
        source.close()


ENDLESS = {
    "length": part(b"", length=2_000_000_000),
    "no length": part(b"", length=None),
    "header": b"--frame\r\nX: ",
    "first": b"",
}


@pytest.mark.parametrize("start", ENDLESS)
def test_a_camera_that_never_ends_a_part_is_in_trouble_with_one_line(start, caplog, monkeypatch):
    monkeypatch.setattr(multipart, "_LEAST_BYTES", 100_000)

    def respond(write):
        if start != "first":
            for _ in range(3):
                write(part(JPEGS[0]))
        write(ENDLESS[start] or ENDLESS["no length"])
        for _ in range(10_000):
            write(b"z" * 65536)

    with HttpCamera(respond) as camera:
        rig = Rig(camera.url, until_lost=True, max_pixels=10_000)
        rig.run()
        assert camera.gone.wait(10)
    [warning] = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "a part has more than" in warning
    assert rig.states[-1] == ("reconnecting", "too large" if start != "header" else "not a video or an image")


def test_a_page_is_not_taken_for_a_camera():
    with HttpCamera(lambda write: write(b"<html>login</html>" * 1000), kind="text/html") as camera:
        with pytest.raises(SourceError, match=r"the connection failed|the server answers, but not with video"):
            StreamSource(camera.url, network=True)
        assert len(camera.requests) == 2  # the second attempt saw that it holds no parts
