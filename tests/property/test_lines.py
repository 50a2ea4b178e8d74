"""Whatever names, sources, keys and secrets contain: a line of ours stays one line, and no secret is in it.

Each secret begins and ends with MARK, whose letters and digits are the same in every spelling: raw, quoted, escaped or
percent-encoded.
"""

import contextlib
import io
import json
import logging
import os
import re
import tempfile
from pathlib import Path
from unittest.mock import patch
from urllib.parse import quote

import pytest
import yaml
from hypothesis import HealthCheck, assume, event, example, given, settings
from hypothesis import strategies as st

from realtime import wire
from realtime.cli import main
from realtime.config import load
from realtime.errors import ConfigError, SourceError, SourceReason
from realtime.observe.log import set_up_logging
from realtime.observe.metrics import StageMeter
from realtime.observe.report import build_report
from realtime.redact import redact, secrets_of
from tests.capture.rig import Rig

MARK = "Zq7x"
# Control characters are an error in a configuration, so most texts have none.
CONTROLS = "\n\r\t\x00\x1b\x07\x08\x7f\x9b\x85"
ODD = "'\"`\\%@:/?&=;,.#<>[]{}|*~ _-\u2028\u2029\u202e\u2066\u200f\xa0\ufeffüß€日😀\udcff\ud800aB3"
texts = st.one_of(
    st.text(ODD, max_size=12),
    st.text(ODD, max_size=12),
    st.text(ODD + CONTROLS, max_size=12),
    st.builds(lambda text, times: text * times, st.text(ODD, min_size=1, max_size=3), st.sampled_from([50, 1200])),
    st.sampled_from(["\n12:00:00 info forged", "\x1b[31m", "%0A12:00:00", "\\n", "{}", "%s%d", "'; x: y", "\ud800"]),
)
secrets = st.builds(lambda text: f"{MARK}{text}{MARK}", texts)
# In a path and in a query, these characters end a value.
of_path = st.builds(lambda secret: re.sub(r"[/&;?#@]|_\w+=", "", secret), secrets)
sources = st.one_of(
    st.builds("rtsp://admin:{}@10.0.0.5/s1".format, secrets),
    st.builds("rtsp://{}@10.0.0.5/s1?{}".format, secrets, texts),
    st.builds(
        "http://10.0.0.5/{}?token={}&x={}".format, texts.map(lambda text: re.sub("[@?]", "", text)), secrets, texts
    ),
    st.builds("rtsp://10.0.0.5/user=a_password={}_channel=1.sdp".format, of_path),
    st.builds("rtps://admin:{}@10.0.0.5/s1".format, secrets),  # mistyped
    st.builds("admin:{}@10.0.0.5/s1".format, secrets),
    st.builds("rtsp://admin:{}:10.0.0.5/s1".format, of_path),
    st.builds("{}.mp4".format, texts),
)
HEAD = re.compile(r"\d\d:\d\d:\d\d (debug|info|warning|error|critical) ")
bounded = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@contextlib.contextmanager
def named(content: str, kind: str, name: str):
    """Put a text where a source may be read from, and yield the source."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        try:
            if kind == "secret":
                path = Path(folder) / (re.sub("[/\0]", "", name)[:80] or "x")
                path.write_bytes(os.fsencode(content))
            else:
                stack.enter_context(patch.dict(os.environ, {"DOOR": content}))
        except (OSError, ValueError):  # the system can't store this
            assume(False)
        yield f"secret:{path}" if kind == "secret" else "env:DOOR"


def printed(arguments: list[str]) -> tuple[int, str, list[str]]:
    """Run the program in this process. Return its exit code, its output and its error lines."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(arguments)
    return code, out.getvalue(), err.getvalue().removesuffix("\n").split("\n")


def check_error(code: int, out: str, err: list[str]) -> None:
    """Check what the program printed: the configuration, or one line that tells why it is none."""
    event(f"exit code {code}")
    assert (code, out == "") in ((0, False), (2, True))
    assert MARK not in out
    assert out.replace("\n", "").isprintable()
    assert [line[:15] for line in err] == (["realtime-pose: "] if code else [""])
    assert err[0].isprintable()
    assert MARK not in err[0]
    assert len(err[0]) < 10_000


@bounded
@given(sources)
@example(f"rtsp://admin:two words{MARK}\n{MARK}@10.0.0.5/s1")
def test_a_source_on_the_command_line(source):
    check_error(*printed(["--source", f"door={source}", "--print-config"]))
    check_error(*printed([f"--sorce={source}"]))
    check_error(*printed([source]))


@bounded
@given(sources, secrets, texts, st.sampled_from(["cameras", "publish", "detector", "device", "record"]))
def test_a_configuration_file(source, secret, key, place):
    camera = {"name": "door", "source": source}
    data = {
        "cameras": {"cameras": [camera | {key: secret}]},
        "publish": {"cameras": [camera], "publish": {"bind": [source]}},
        "detector": {"cameras": [camera], "detector": {"weights": source, "engine": source}},
        "device": {"cameras": [camera], "device": source, key: 1},
        "record": {"cameras": [camera], "record": f"{key}.jsonl"},
    }[place]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.yaml"
        path.write_text(yaml.safe_dump(data))
        check_error(*printed(["--config", str(path), "--print-config"]))


@bounded
@given(st.one_of(secrets, sources), st.sampled_from(["secret", "env"]), texts, st.booleans())
@example(f"{MARK} api-token {MARK}", "secret", "\n", False)
@example(f"{MARK}://{MARK}", "env", "", True)
def test_a_source_from_a_file_or_a_variable(content, kind, name, verified):
    with named(content, kind, name) as source, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.yaml"
        path.write_text(yaml.safe_dump({"cameras": [{"name": "door", "source": source, "tls_verify": verified}]}))
        check_error(*printed(["--config", str(path), "--print-config"]))


class Failing:
    """Opens sources, with an error that has the address in many spellings."""

    def __init__(self, secret: str, is_ours: bool) -> None:
        self._secret, self._is_ours = secret, is_ours

    def __call__(self, config):
        address = config.address
        spelled = [
            address,
            repr(str(address)),
            ascii(str(address)),
            json.dumps(address),
            quote(address, errors="replace"),
        ]
        logging.getLogger("a_library").error("%s %s", address, {"url": [address]})
        text = f"can't open {' '.join(spelled)}, {self._secret!r}, {os.fsencode(address)}"
        if self._is_ours:
            raise SourceError(text, SourceReason.REFUSED)
        raise ValueError(f"{text}\n{text}")


@pytest.fixture(autouse=True)
def logging_as_before():
    """Undo `set_up_logging`, which is meant for a whole process."""
    root, ours = logging.getLogger(), logging.getLogger("realtime")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before
    logging.captureWarnings(False)


@settings(bounded, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(secrets, texts, st.sampled_from(["secret", "env", ""]), st.booleans(), st.sampled_from(["text", "json"]))
def test_the_log_the_error_the_status_and_the_report_of_a_camera(secret, name, kind, is_ours, form):
    url = f"rtsp://admin:{secret}@10.0.0.5/s1"
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(named(secret, kind, name)) if kind else url
        stderr = stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        try:
            camera = load(flags={"cameras": [{"name": "cam0", "source": source}]}).cameras[0]
            rig = Rig(source, opener=Failing(secret, is_ours), fail_fast=True)
        except (ConfigError, ValueError):
            event("refused")
            return
        set_up_logging("debug", form, secrets_of(camera.address))
        logging.getLogger("realtime").info("cam0: found %s", name)
        with pytest.raises(SourceError) as raised:
            rig.run()
        logging.getLogger("realtime").error("%s", raised.value)
    lines = stderr.getvalue().removesuffix("\n").split("\n")
    heads = [line for line in lines if HEAD.match(line) or line.startswith("{")]
    assert len(heads) == 3 + (not is_ours)
    assert all(line.isprintable() and (line in heads or line.startswith("  ")) for line in lines)
    assert MARK not in stderr.getvalue()
    if form == "json":
        expected = redact(f"cam0: found {name}", secrets_of(camera.address))
        assert json.loads(lines[0])["message"] == json.loads(json.dumps(expected))  # JSON joins two halves of a pair
    state, reason = rig.state
    status = wire.StatusMessage(
        session="s", camera="cam0", state=state, reason=reason, captured=0, dropped=0, published=0, fps=0.0,
        latency_ms={}, uptime_s=0.0,
    )  # fmt: skip
    assert MARK not in wire.encode(status, "json").decode()
    assert MARK not in json.dumps(build_report([rig.status], StageMeter(), 1.0, "cpu", {}))
