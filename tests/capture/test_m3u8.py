import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.capture.m3u8 import KEPT, MOST_LINES, TooLargeError, parse

URL = "http://cam.example/live/a/index.m3u8?token=1"


def read(*lines):
    return parse("\n".join(("#EXTM3U", *lines, "")), URL)


def test_segments_have_their_address_number_and_duration():
    playlist = read(
        "#EXT-X-TARGETDURATION:4", "#EXT-X-MEDIA-SEQUENCE:118",
        "#EXTINF:4.000,", "b.ts", "#EXTINF:3.5,a title, with a comma", "/c.ts?x=1", "#EXTINF:4", "http://other/d.ts",
    )  # fmt: skip
    assert [(s.number, s.url, s.duration_s) for s in playlist.segments] == [
        (118, "http://cam.example/live/a/b.ts", 4.0),
        (119, "http://cam.example/c.ts?x=1", 3.5),
        (120, "http://other/d.ts", 4.0),
    ]
    assert (playlist.target_s, playlist.has_ended, playlist.is_plain) == (4.0, False, True)


@pytest.mark.parametrize(
    ("date", "unix_s"),
    [
        ("2026-11-28T22:31:31.586+0000", 1795905091.586),
        ("2026-11-28T22:31:31.586Z", 1795905091.586),
        ("2026-11-29T00:31:31.586+02:00", 1795905091.586),
        ("2026-11-28T22:31:31", 1795905091.0),  # without a time zone
        ("yesterday", None),
        ("9999-99-99T00:00:00Z", None),
    ],
)
def test_a_segment_has_the_date_of_its_first_frame(date, unix_s):
    (segment,) = read(f"#EXT-X-PROGRAM-DATE-TIME:{date}", "#EXTINF:1,", "a.ts").segments
    assert segment.wall_s == unix_s


def test_a_date_holds_for_the_following_segments_up_to_a_discontinuity():
    segments = read(
        "#EXTINF:2,", "a.ts",
        "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:01:00Z", "#EXTINF:2,", "b.ts",
        "#EXTINF:2.5,", "c.ts", "#EXTINF:2,", "d.ts",
        "#EXT-X-DISCONTINUITY", "#EXTINF:2,", "e.ts",
    ).segments  # fmt: skip
    assert [segment.wall_s for segment in segments] == [None, 60.0, 62.0, 64.5, None]
    assert [segment.is_discontinuous for segment in segments] == [False] * 4 + [True]


def test_the_initialisation_section_holds_until_the_next_one():
    segments = read(
        '#EXT-X-MAP:URI="i.mp4"', "#EXTINF:1,", "a", "#EXTINF:1,", "b", '#EXT-X-MAP:URI="j.mp4"', "c"
    ).segments
    assert [s.map_url.rpartition("/")[2] for s in segments] == ["i.mp4", "i.mp4", "j.mp4"]


def test_a_list_of_variants_names_their_playlists():
    playlist = read(
        '#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="a,b"', "low.m3u8", "#EXT-X-STREAM-INF:BANDWIDTH=2", "/hi.m3u8"
    )
    assert playlist.variants == ("http://cam.example/live/a/low.m3u8", "http://cam.example/hi.m3u8")
    assert not playlist.segments


@pytest.mark.parametrize(
    ("line", "is_plain"),
    [
        ('#EXT-X-KEY:METHOD=AES-128,URI="k"', False),
        ("#EXT-X-KEY:METHOD=NONE", True),
        ("#EXT-X-BYTERANGE:100@0", False),
        ('#EXT-X-MAP:URI="i.mp4",BYTERANGE="100@0"', False),
    ],
)
def test_encrypted_segments_and_parts_of_files_are_not_plain(line, is_plain):
    assert read(line, "#EXTINF:1,", "a.ts").is_plain is is_plain


def test_an_end_is_seen():
    assert read("#EXTINF:1,", "a.ts", "#EXT-X-ENDLIST").has_ended


def test_without_a_declared_limit_the_longest_segment_is_it():
    assert read("#EXTINF:1,", "a.ts", "#EXTINF:3,", "b.ts").target_s == 3.0


@pytest.mark.parametrize(
    "line",
    ["#EXT-X-KEY:" + (4 << 20) * "A", 2000 * f"#EXT-X-KEY:{4000 * 'A'}\n", 2000 * f"#EXT-X-KEY:{1000 * ',A=A'}\n"],
)
def test_long_tags_take_no_time_that_grows_with_the_square_of_their_length(line):
    assert read(line, "#EXTINF:1,", "a.ts").segments  # it took hours, in which no other thread ran


def test_only_the_newest_segments_are_kept():
    playlist = read("#EXT-X-MEDIA-SEQUENCE:100", *("#EXTINF:2,\na.ts" for _ in range(50_000)))
    assert [segment.number for segment in playlist.segments] == list(range(50_100 - KEPT, 50_100))
    assert (playlist.first, playlist.target_s) == (100, 2.0)


def test_only_the_first_variants_are_kept():
    assert len(read(*("#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8" for _ in range(1000))).variants) == 16


@pytest.mark.parametrize(
    ("lines", "url"),
    [
        (["a"] * MOST_LINES, URL),
        (["a"] * 100_000, "http://cam.example/" + 2000 * "a" + "/b"),  # FFmpeg keeps the folder for each
        ([f"http://h{n}/a.ts" for n in range(9)], URL),
        ([f'#EXT-X-KEY:METHOD=AES-128,URI="//h{n}/k"' for n in range(9)], URL),
    ],
)
def test_a_playlist_that_names_too_much_is_refused(lines, url):
    with pytest.raises(TooLargeError):
        parse("\n".join(["#EXTM3U", *lines]), url)


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("front door.ts", "http://cam.example/live/a/front%20door.ts"),
        ("/Tür.ts?x=ä", "http://cam.example/T%C3%BCr.ts?x=%C3%A4"),
        ("a%20b.ts?x=%2F&y=[1]", "http://cam.example/live/a/a%20b.ts?x=%2F&y=[1]"),
        ("http://[", ""),
        (2048 * "a", ""),
    ],
)
def test_an_address_is_encoded_or_empty(line, url):
    assert read(line).segments[0].url == url


@pytest.mark.parametrize("text", ["", "<html>", "\n#EXTM3U", "#EXTINF:1,\na.ts"])
def test_what_does_not_begin_like_a_playlist_is_refused(text):
    with pytest.raises(ValueError, match="#EXTM3U"):
        parse(text, URL)


_TAGS = [
    "#EXTINF:", "#EXT-X-PROGRAM-DATE-TIME:", "#EXT-X-MAP:URI=", "#EXT-X-KEY:", "#EXT-X-TARGETDURATION:",
    "#EXT-X-MEDIA-SEQUENCE:", "#EXT-X-STREAM-INF:", "#EXT-X-DISCONTINUITY", "#EXT-X-BYTERANGE:", "", "http://[",
]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(_TAGS), st.text(max_size=12) | st.from_regex(r"-?[0-9.e]{0,25}"))))
def test_any_text_is_read(lines):
    playlist = read(*(tag + value for tag, value in lines))
    numbers = [segment.number for segment in playlist.segments]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
    assert all(0 <= segment.duration_s <= 3600 for segment in playlist.segments)
