"""The fault cases of opening a stream: redirects, certificates and playlists, in the whole pipeline: `make faults`.

The numbers in the test names are the cases of the table in docs/reliability.md.
"""

import subprocess
import sys
import time

import pytest

from tests.capture.servers import Scripted, reply, self_signed

from .fakecam import CameraProcess, FakeCamera
from .rig import ROOT, Run, cpu_s

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("yolov8n")]

LOGIN = "admin:s3cr3t%21pw@"
SECRETS = ("s3cr3t", "admin")


def wants_basic(asked):
    return reply(asked, "401 Unauthorized", 'WWW-Authenticate: Basic realm="other"')


@pytest.mark.parametrize("kind", ["to another port", "in a loop", "an answer without end"])
def test_50_a_camera_that_leads_elsewhere_gets_few_connections_and_no_login(kind, tmp_path, figure, log):
    def answer(asked):
        if kind == "an answer without end":
            return (b"RTSP/1.0 200 OK\r\n" + 4096 * b"x" for _ in range(100_000))
        if kind == "in a loop":
            return reply(asked, "302 Found", f"Location: /cam{len(camera.asked)}")
        if asked.method == "OPTIONS":
            return reply(asked, "200 OK")
        return reply(asked, "302 Found", f"Location: rtsp://127.0.0.1:{other.port}/cam")

    with Scripted(wants_basic) as other, Scripted(answer) as camera, CameraProcess() as healthy:
        sources = {"odd": f"rtsp://{LOGIN}127.0.0.1:{camera.port}/cam", "healthy": healthy.url()}
        with Run(sources, tmp_path) as run:
            run.until_pose("healthy")
            began_s, before_s = time.monotonic(), cpu_s("capture-odd")
            run.run_for(10)
            spent = (cpu_s("capture-odd") - before_s) / (time.monotonic() - began_s)
            figure("50", f"{kind}: connections in 10 s", camera.connections + other.connections, "", at_most=15)
            figure("50", f"{kind}: logins sent to another port", len(other.logins), "", at_most=0)
            figure("50", f"{kind}: CPU time of its capture thread", 100 * spent, "%", at_most=2)
            figure("50", f"{kind}: healthy camera beside it", run.fps("healthy", began_s), "fps", at_least=24)
    assert len(log.of("odd: ")) == 1
    assert not [line for _, line in log.lines if any(secret in line for secret in SECRETS)]


def test_51_a_camera_over_rtsps_is_read_and_an_unknown_certificate_refused(tmp_path, figure, log):
    certificate = self_signed(tmp_path)
    with FakeCamera(("admin", "s3cr3t!pw"), certificate=certificate, key_every=25) as camera:
        url = camera.url(LOGIN)
        sources = {
            "unverified": url,
            "verified": {"source": url, "tls_verify": True, "tls_ca": str(certificate[0])},
            "refused": {"source": url, "tls_verify": True},
        }
        with Run(sources, tmp_path) as run:
            away = run.until_state("reconnecting", "refused")
            assert away.body["reason"] == "certificate not trusted"
            since_s = max(run.until_pose(name).at_s for name in ("unverified", "verified"))
            run.run_for(5)
            for name in ("unverified", "verified"):
                figure("51", f"rtsps, {name}", run.fps(name, since_s), "fps", at_least=24)
    assert len(log.of("unverified: the login is sent over TLS, but the certificate is not verified")) == 1
    assert len(log.of("the certificate is not verified")) == 1


@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8"])
def test_52_a_file_that_is_a_playlist_ends_the_program_with_one_line(name, tmp_path):
    with Scripted(lambda asked: reply(asked, "404 Not Found", protocol="HTTP/1.1")) as server:
        path = tmp_path / name
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nhttp://127.0.0.1:{server.port}/a.ts\n")
        command = [sys.executable, "run_realtime.py", "--source", str(path), "--publish.bind", f"ipc://{tmp_path}/s"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3
    *before, error = ended.stderr.splitlines()
    assert all(" info " in line for line in before)
    assert "an HLS playlist: it names other files or addresses" in error
    assert not server.connections
