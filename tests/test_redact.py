import json
from urllib.parse import quote, quote_plus

import pytest

from realtime.printable import printable
from realtime.redact import SecretAddress, one_line, redact, secrets_of, shown


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("rtsp://user:pw@10.0.0.5/s1", "rtsp://***@10.0.0.5/s1"),  # the plain case
        ("rtsp://user:p@s/s:w@h/s1 x@y", "rtsp://***@h/s1 x@y"),  # a raw password with @, / and :
        ("can't open 'http://h/v?token=abc&x=1'!", "can't open 'http://h/v?***'!"),  # a query
        ("http://h/v?token=abc: refused", "http://h/v?***: refused"),  # the colon belongs to the sentence
        ("a rtsp://u:a@h/1 and rtsp://v:b@h/2", "a rtsp://***@h/1 and rtsp://***@h/2"),  # two URLs
        (
            "rtsp://h/user=a_password=x_y_channel=1.sdp: lost",
            "rtsp://h/user=a_password=***_channel=1.sdp: lost",
        ),  # a password in the path
        ("http://h/v?mail=a@b.org&t=abcd", "http://***"),  # an @ in the query, or a ? in the password
        ("expected tcp://HOST:PORT or tcp://127.0.0.1:*", "expected tcp://HOST:PORT or tcp://127.0.0.1:*"),
        ("http://h/pwd=abc/live, gone", "http://h/pwd=***/live, gone"),  # the path segment ends the password
        ("clip.mp4, mail@example.com", "clip.mp4, mail@example.com"),  # nothing to hide
    ],
)
def test_urls_lose_user_information_and_query(text: str, clean: str) -> None:
    assert redact(text) == clean


def test_secrets_are_found_raw_and_percent_encoded() -> None:
    secrets = secrets_of("rtsp://admin:p%40ss%2Fw@h/s?token=t%20k1")
    assert {"p%40ss%2Fw", "p@ss/w", "t k1", "t%20k1"} <= set(secrets)
    assert redact("login failed for p@ss/w", secrets) == "login failed for ***"


def test_a_password_in_the_path_is_found() -> None:
    assert "tlJwpbo6" in secrets_of("rtsp://10.0.0.7:554/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp")


def test_plain_sources_have_no_secrets() -> None:
    assert secrets_of("clip.mp4") == secrets_of("0") == secrets_of("rtsp://10.0.0.5/s1") == []


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("cam0: operator:Tr0ub4dor@10.1.2.3/s: no such file", "cam0: ***@10.1.2.3/s: no such file"),
        ("u:p@ss/w0rd@camera.lan", "***@camera.lan"),
        ("rtsp://u:p@h/1 and u:p@h", "rtsp://***@h/1 and ***@h"),
        ("C:\\clips\\a@b.mp4", "C:\\clips\\a@b.mp4"),
        ("/data/a@b.mp4", "/data/a@b.mp4"),
        ("mode: got 640x480, expected 1280x720@60", "mode: got 640x480, expected 1280x720@60"),
    ],
)
def test_a_login_without_a_url_scheme_is_hidden_too(text, redacted):
    assert redact(text) == redacted


@pytest.mark.parametrize("password", ["it's", 'a"b"c', "a<b>c", "two words", "p@ss/w:rd"])
def test_a_source_is_shown_without_its_password_whatever_characters_it_contains(password):
    assert shown(f"rtsp://admin:{password}@10.0.0.5/s1") == "rtsp://***@10.0.0.5/s1"
    assert password not in shown(f"http://10.0.0.5/video?token={password}&x=12345")


@pytest.mark.parametrize(
    ("source", "secret"),
    [
        ("rtsp//u:hunter2@10.0.0.5/s1", "hunter2"),  # a missing colon
        ("rtsp:/u:hunter2@10.0.0.5/s1", "hunter2"),
        ("10.0.0.5/s1?password=hunter2", "hunter2"),  # no scheme
        ("10.0.0.5/user=a_password=hunter2_channel=1", "hunter2"),
        ("rtsp://u:hunter2", "hunter2"),  # no address
        ("rtsp://u:hunter2:10.0.0.5/s1", "hunter2"),  # a colon instead of the @
        ("http://10.0.0.5/v?user=a@b.org&token=hunter2", "hunter2"),  # an @ in the query
        ("10.0.0.5/v?user=a@b.org&token=hunter2", "hunter2"),
        ("rtsp://10.0.0.5/password=x@hunter2_channel=1", "hunter2"),  # an @ in a password in the path
    ],
)
def test_a_mistyped_source_is_shown_without_its_password(source, secret):
    assert secret not in shown(source)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("u:p\\ss@10.0.0.5", "***@10.0.0.5"),  # a backslash in a password
        ("rtsp://u:a\nb@h/s", "rtsp://***@h/s"),  # a line break, which is not the end of the address
        ("http://h/pwd=a:b,c/live: lost", "http://h/pwd=***/live: lost"),  # marks in a password, and after the address
        ("rtsp://h/key=abc/pass=def", "rtsp://h/key=***/pass=***"),  # two passwords
        ("secret:/run/credentials/pose@door.service/url", "secret:/run/credentials/pose@door.service/url"),  # no login
    ],
)
def test_a_line_shows_no_login_wherever_it_ends(text, redacted):
    assert one_line(text) == redacted.replace("\n", "\\n")


def test_nothing_is_left_of_secrets_that_overlap():
    source = "rtsp://admin:ab?cdef@10.0.0.5/s1"  # as a login, admin:ab?cdef; as a query, cdef@10.0.0.5/s1
    assert redact(f"got {source}", secrets_of(source)) == "got rtsp://***"
    assert redact("abcdefgh", ["defgh", "abcde"]) == "***"
    assert redact("abcdefgh", [SecretAddress("defgh", "env:X"), "abcde"]) == "env:X"


def test_a_path_with_an_at_sign_and_a_time_is_no_login():
    assert secrets_of("C:\\clips\\13:45@door.mp4") == []
    assert shown("secret:/run/a@b/url") == "secret:/run/a@b/url"


SPELLINGS = ["a'b\"c\\d", "p\u202eq\u0085r", "zwölf€", "a%2Fb/c d+e", "😀😀😀😀"]


@pytest.mark.parametrize("password", SPELLINGS)
@pytest.mark.parametrize(
    "spell",
    [str, repr, ascii, quote, quote_plus, json.dumps, printable, lambda text: repr({"x": [text + "'"]}), str.encode],
)
def test_a_password_is_found_in_every_spelling(password, spell):
    url = f"rtsp://admin:{password}@10.0.0.5/s1"
    said = one_line(f"no such user: {spell(password)}", secrets_of(url))
    assert said.startswith("no such user: ")
    assert "***" in said
    for part in (password, str(spell(password)).strip("b'\""), printable(password)):
        assert part not in said


@pytest.mark.parametrize("address", ["ghp_16C7e42F292c6912E7", "rtsp://10.0.0.5/s1", "/data/door.mp4", "two words"])
def test_an_address_from_a_secret_file_is_called_by_its_name(address):
    secret = SecretAddress(address, "secret:/run/secrets/door")
    assert secret == address
    assert shown(secret) == "secret:/run/secrets/door"
    assert repr(secret) == "'secret:/run/secrets/door'"
    said = redact(f"{address}: no such file, {address!r}, {quote(address, safe='')}", secrets_of(secret))
    assert said == "secret:/run/secrets/door: no such file, 'secret:/run/secrets/door', secret:/run/secrets/door"


@pytest.mark.parametrize("path", ["clip.mp4", "a@b.mp4", "clips/what?.mp4", "C:\\clips\\a@b.mp4", "/data/take [1].mp4"])
def test_a_file_is_shown_unchanged(path):
    assert shown(path) == path


@pytest.mark.parametrize(
    "word",
    ["k", "-", "a:", "a://", "://", "@", "?", "a:b@", "a://key=", "?a=b&", "x=_", "\ud800", "a/", "&=abcd", "_a="],
)
def test_a_text_of_a_million_characters_is_redacted_before_the_tests_time_out(word):
    """The timeout of the tests is the bound: expressions whose time grows with the square of the length exceed it."""
    text = word * (1_000_000 // len(word))
    assert "hunter2" not in redact(f"{text} rtsp://u:hunter2@h/{text}")
    assert "hunter2" not in shown(f"rtsp://u:hunter2@h/{text}")
    assert len(one_line(text)) < 10_000
