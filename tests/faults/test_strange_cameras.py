"""Strange cameras beside a healthy one, case 60 of docs/reliability.md: `make faults`.

Each runs for 10 s, several at a time. None may end the run, slow the healthy camera down, fill the log or learn a login
that is not its own.
"""

import contextlib
import re
import time
from pathlib import Path

import pytest
import yaml

from .fakecam import FPS, CameraProcess
from .rig import Program
from .strange_http import HTTP
from .strange_rtsp import RTSP

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("yolov8n")]

STRANGERS = RTSP | HTTP
# Several at a time, because ten seconds each would take five minutes.
GROUPS = [list(STRANGERS)[i::3] for i in range(3)]
STRANGE_S = 10.0
# The words of StatusMessage.reason that readers may rely on, as far as network cameras have them.
REASONS = {
    "not a video or an image", "no video track", "permission denied", "connection refused", "login failed", "not found",
    "timed out", "host name not found", "connection lost", "can't be decoded", "falls behind", "damaged",
    "waiting for a key frame", "internal error", "too large", "server error", "redirect refused",
    "transport not possible",
}  # fmt: skip
# How some must end: the reason, or the state if there is none. The others may be live, or in a state with a reason.
EXPECTED = {
    "latin1_session_name": {"live"},
    "sdp_of_a_megabyte": {"too large"},
    "udp_alone": {"transport not possible"},
    "redirect_loop": {"redirect refused"},
    "http_redirect_loop": {"redirect refused"},
    "changing_size": {"live"},
    "unknown_codec": {"can't be decoded"},
    "codec_without_a_decoder": {"can't be decoded"},
    "odd_colour_matrix": {"live", "can't be decoded", "internal error"},
    "huge_pictures": {"too large"},
    # FFmpeg finds that 5 kB can't hold so many pixels, and allocates nothing either.
    "http_huge_jpeg": {"can't be decoded", "timed out", "starting"},
    "login_that_never_succeeds": {"login failed"},
    "no_key_frame": {"waiting for a key frame", "timed out", "can't be decoded"},
}


def configuration(addresses):
    """Return the cameras of a run: the healthy one with the defaults, the strange ones with short timeouts."""
    short = {"open_timeout_s": 3.0, "read_timeout_s": 2.0}
    entries = [{"name": n, "source": url} | (short if n != "well" else {}) for n, url in addresses.items()]
    return yaml.safe_dump({"cameras": entries})


def share_published(poses, since_s):
    """Return the percentage of a 25 fps camera's pictures that were published in the 10 s from `since_s` on.

    By the times at which they were sent: the test's own threads serve the strange cameras, and may receive late.
    """
    to_mono_s = time.monotonic() - time.time()
    sent_s = [told.body["published_ns"] / 1e9 + to_mono_s for told in poses]
    return 100 * sum(since_s <= at_s < since_s + STRANGE_S for at_s in sent_s) / (FPS * STRANGE_S)


def peak_mb(process):
    """Return the most memory that a process has used so far."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{process}/status").read_text())[1]) / 1e3


@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_60_strange_cameras_harm_only_themselves(group, tmp_path, figure):
    with contextlib.ExitStack() as stack:
        strangers = {name: STRANGERS[name]() for name in GROUPS[group]}
        well = stack.enter_context(CameraProcess("--size=320x240"))
        running = {name: stack.enter_context(strange.running()) for name, strange in strangers.items()}
        file = tmp_path / "cameras.yaml"
        file.write_text(configuration({"well": well.url()} | {name: url for name, (url, _) in running.items()}))
        with Program("--config", str(file), folder=tmp_path) as program:
            first_s = program.until_pose("well").at_s
            before_mb = program.resident_mb()
            program.run_for(STRANGE_S + 0.5)
            grown_mb = peak_mb(program.process.pid) - before_mb
            states = {name: program.states(name)[-1].body for name in strangers}
            connected = {name: len(listener.connections) for name, (_, listener) in running.items()}
            code, took_s = program.end()
    print("".join(program.log))  # pytest shows it if the test fails
    ends = {name: (state["reason"] or state["state"], connected[name]) for name, state in states.items()}
    print("\n".join(f"{name}: {reason}, {count} connections" for name, (reason, count) in ends.items()))

    harmed = [problem for name, strange in strangers.items() for problem in problems(name, strange, ends, program.log)]
    assert not harmed, harmed
    assert code == 0
    # A traceback is for what nobody expected, once for each camera.
    assert sum("Traceback" in line for line in program.log) <= sum("internal error" in line for line in program.log)
    assert not any("s3cr3t" in line for line in program.log)
    what = f"strange cameras, group {group + 1} of {len(GROUPS)}"
    share = share_published(program.poses("well"), first_s)
    figure("60", f"{what}: pictures of a healthy camera that are published", share, "%", at_least=98)
    figure("60", f"{what}: highest memory growth", grown_mb, "MB", at_most=400)
    figure("60", f"{what}: program exits after", took_s, "s", at_most=3)


def problems(name, strange, ends, log):
    """Yield what a strange camera did wrong, or what was done wrong with it."""
    reason, connections = ends[name]
    if reason not in EXPECTED.get(name, REASONS | {"live"}):
        yield f"{name}: ended as {reason!r}, expected one of {sorted(EXPECTED.get(name, REASONS))}"
    if connections > strange.may_connect:
        yield f"{name}: {connections} connections, expected at most {strange.may_connect}"
    lines = sum(f" {name}: " in line for line in log)
    if lines > strange.may_log:
        yield f"{name}: {lines} log lines, expected at most {strange.may_log}"
    if strange.thief is not None and any(b"authorization:" in c.received.lower() for c in strange.thief.connections):
        yield f"{name}: sent the login to another port"
