import pytest

from realtime.capture.dialogue import Reply
from realtime.capture.redirects import is_redirect, next_url
from realtime.capture.tls import Tls
from realtime.errors import SourceError, SourceReason


def leads(url, location, tls=Tls()):  # noqa: B008 - immutable
    return next_url(url, Reply(302, [("location", location)]), tls)


@pytest.mark.parametrize(
    ("url", "location", "to"),
    [
        ("rtsp://u:p@127.0.0.1/a", "rtsp://127.0.0.1/b", "rtsp://u:p@127.0.0.1/b"),
        ("rtsp://u:p@127.0.0.1/a", "rtsp://127.0.0.1:554/b", "rtsp://u:p@127.0.0.1/b"),  # the default port
        ("rtsp://u:p@127.0.0.1/a", "RTSP://127.0.0.1/b", "rtsp://u:p@127.0.0.1/b"),
        ("rtsp://u:p@127.0.0.1/a/b", "/c", "rtsp://u:p@127.0.0.1/c"),
        ("rtsps://u:p@127.0.0.1/a/b", "c?d=1", "rtsps://u:p@127.0.0.1/a/c?d=1"),
        ("rtsp://u:p@127.0.0.1/a", "rtsp://127.0.0.1:555/b", "rtsp://127.0.0.1:555/b"),  # another port
        ("rtsp://u:p@127.0.0.1/a", "rtsps://127.0.0.1:554/b", "rtsps://127.0.0.1:554/b"),  # another protocol
        ("rtsp://u:p@127.0.0.1/a", "rtsp://127.0.0.2/b", "rtsp://127.0.0.2/b"),  # another host
        ("rtsp://u:p@127.0.0.1/a", "//127.0.0.2/b", "rtsp://127.0.0.2/b"),
        ("rtsp://u:p@127.0.0.1/a", "rtsp://x:y@127.0.0.2/b", "rtsp://127.0.0.2/b"),  # its login isn't ours to use
        ("rtsp://u:p@127.0.0.1/a", "rtsp://x:y@127.0.0.1/b", "rtsp://u:p@127.0.0.1/b"),
        ("rtsp://u:p@[::1]/a", "rtsp://[::1]/b", "rtsp://u:p@[::1]/b"),
        ("http://u:p@127.0.0.1/a", "https://127.0.0.1/a", "https://127.0.0.1/a"),
        ("http://u:p@127.0.0.1/a", "?x=1#frag", "http://u:p@127.0.0.1/a?x=1"),
    ],
)
def test_the_login_goes_along_only_to_the_same_scheme_host_and_port(url, location, to):
    assert leads(url, location) == to


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("rtsp://u:p@127.0.0.1/a", ""),
        ("rtsp://u:p@127.0.0.1/a", "rtsp://"),
        ("rtsp://u:p@127.0.0.1/a", "rtsp:///b"),
        ("rtsp://u:p@127.0.0.1/a", "rtsp://127.0.0.1:99999/b"),
        ("rtsp://u:p@127.0.0.1/a", "rtsp://127.0.0.1:x/b"),
        ("rtsp://u:p@127.0.0.1/a", "rtsp://[::1/b"),
        ("rtsp://u:p@127.0.0.1/a", "rtsp://127.0.0.1/" + 10_000 * "a"),
        ("rtsp://u:p@127.0.0.1/a", "rtsp://127.0.0.1/a b"),
        ("rtsp://u:p@127.0.0.1/a", "rtsp://127.0.0.1/\x1b[2J"),
        ("rtsp://u:p@127.0.0.1/a", "rtsp://127.0.0.1/\xe9"),
        ("rtsp://u:p@127.0.0.1/a", "http://127.0.0.1/b"),
        ("rtsp://u:p@127.0.0.1/a", "file:///etc/passwd"),
        ("http://u:p@127.0.0.1/a", "rtsp://127.0.0.1/b"),
        ("http://u:p@127.0.0.1/a", "data:text/plain,x"),
        ("http://u:p@203.0.114.7/a", "http://10.0.0.1/"),
        ("rtsp://u:p@203.0.114.7/a", "rtsp://127.0.0.1/"),
    ],
)
def test_a_redirect_that_leads_nowhere_good_is_refused_in_one_line(url, location):
    with pytest.raises(SourceError) as caught:
        leads(url, location)
    assert caught.value.reason is SourceReason.REDIRECT
    assert "\n" not in str(caught.value)
    assert "u:p" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_with_verified_certificates_a_redirect_stays_encrypted():
    with pytest.raises(SourceError, match="not encrypted"):
        leads("https://127.0.0.1/a", "http://127.0.0.1/a", Tls(verify=True))
    assert leads("https://127.0.0.1/a", "http://127.0.0.1/a") == "http://127.0.0.1/a"


def test_304_is_no_redirect():
    assert [status for status in (200, 301, 304, 308, 401) if is_redirect(Reply(status, []))] == [301, 308]
