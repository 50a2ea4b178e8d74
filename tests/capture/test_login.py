import base64
import hashlib
import re

import pytest

from realtime.capture.login import authorization, challenge_of, has_login

DIGEST = 'Digest realm="cam", nonce="abc"'


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("fields", "scheme"),
    [
        (['Basic realm="x"'], "basic"),
        (["Basic"], "basic"),
        (["BASIC realm=x"], "basic"),
        ([DIGEST], "digest"),
        (['Basic realm="x"', DIGEST], "digest"),  # like FFmpeg: never the password itself if it can be avoided
        ([DIGEST, 'Basic realm="x"'], "digest"),
        ([f"{DIGEST}, algorithm=MD5", f"{DIGEST}, algorithm=SHA-256"], "digest"),
        ([f"{DIGEST}, algorithm=SHA-256", 'Basic realm="x"'], "basic"),
        ([f"{DIGEST}, algorithm=SHA-256"], None),
        (["Negotiate", "Bearer realm=x"], None),
        (["", ",,,", '"', "="], None),
        ([], None),
    ],
)
def test_the_safest_challenge_that_ffmpeg_can_answer_is_chosen(fields, scheme):
    challenge = challenge_of(fields)
    assert (challenge and challenge.scheme) == scheme


@pytest.mark.parametrize("field", ["Digest " + 16_000 * "a", "Digest a" + 16_000 * " ", "Digest " + 8000 * "a "])
def test_a_long_challenge_takes_no_time_that_grows_with_the_square_of_its_length(field):
    assert challenge_of([field] * 200).fields == {}  # it took minutes, in which no other thread ran


def test_a_basic_answer_holds_the_decoded_login():
    answer = authorization(challenge_of(["Basic realm=x"]), "admin:p%40s%3As+", "GET", "/")
    assert base64.b64decode(answer.removeprefix("Basic ")) == b"admin:p@s:s+"


def test_a_digest_answer_is_that_of_rfc_2617():
    answer = authorization(challenge_of([DIGEST]), "admin:p%40ss", "DESCRIBE", "rtsp://h/s1")
    expected = md5(f"{md5('admin:cam:p@ss')}:abc:{md5('DESCRIBE:rtsp://h/s1')}")
    assert f'response="{expected}"' in answer
    assert 'username="admin"' in answer
    assert "qop" not in answer
    assert "p@ss" not in answer


@pytest.mark.parametrize(("algorithm", "session"), [("MD5", False), ("MD5-sess", True)])
def test_a_digest_answer_with_qop_counts_and_holds_our_own_nonce(algorithm, session):
    asked = challenge_of([f'{DIGEST}, qop="auth-int,auth", opaque="o", algorithm={algorithm}'])
    answer = authorization(asked, "admin:pw", "GET", "/v")
    parts = {key: quoted or plain for key, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|(\w+))', answer)}
    who = md5("admin:cam:pw")
    if session:
        who = md5(f"{who}:abc:{parts['cnonce']}")
    assert parts["response"] == md5(f"{who}:abc:00000001:{parts['cnonce']}:auth:{md5('GET:/v')}")
    assert parts["qop"] == "auth"
    assert parts["opaque"] == "o"


def test_only_a_stale_nonce_says_that_the_login_was_not_judged():
    assert challenge_of([f"{DIGEST}, stale=TRUE"]).is_stale
    assert not challenge_of([f"{DIGEST}, stale=false"]).is_stale
    assert not challenge_of([DIGEST]).is_stale


def test_a_login_is_the_part_before_the_last_at_sign_of_the_host():
    assert has_login("rtsp://u:p@10.0.0.5/s")
    assert has_login("rtsp://u@10.0.0.5/s")
    assert has_login("rtsps://u:p@[::1/s")  # not a valid address
    assert not has_login("rtsp://10.0.0.5/a@b")
    assert not has_login("rtsp://10.0.0.5?a@b")
