"""Cameras over TLS, opened as the program does."""

import pytest

from realtime.capture import open as opening
from realtime.capture.open import open_source
from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason
from tests.faults.fakecam import FakeCamera
from tests.faults.marks import index_of

from .servers import Scripted, reply, self_signed


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def new_run():
    opening._warn_of_unverified_tls.cache_clear()


def not_found(asked):
    """Answer with a status that shows that TLS has passed."""
    return reply(asked, "404 Not Found", protocol="RTSP/1.0" if asked.url.startswith("rtsp") else "HTTP/1.1")


def error_of(source, **options):
    with pytest.raises(SourceError) as caught:
        open_source(CameraConfig(name="door", source=source, **{"open_timeout_s": 5.0} | options))
    assert "\n" not in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("scheme", ["rtsps", "https"])
def test_a_certificate_is_not_verified_unless_asked_for(scheme, certificate):
    with Scripted(not_found, certificate) as camera:
        assert error_of(f"{scheme}://127.0.0.1:{camera.port}/cam").reason is SourceReason.NOT_FOUND


@pytest.mark.parametrize("scheme", ["rtsps", "https"])
def test_a_trusted_certificate_is_accepted(scheme, certificate):
    with Scripted(not_found, certificate) as camera:
        error = error_of(f"{scheme}://127.0.0.1:{camera.port}/cam", tls_verify=True, tls_ca=str(certificate[0]))
    assert error.reason is SourceReason.NOT_FOUND


@pytest.mark.parametrize("scheme", ["rtsps", "https"])
def test_an_unknown_certificate_is_refused_before_the_login_is_sent(scheme, certificate):
    with Scripted(not_found, certificate) as camera:
        error = error_of(f"{scheme}://admin:s3cr3t@127.0.0.1:{camera.port}/cam", tls_verify=True)
    assert error.reason is SourceReason.CERTIFICATE
    assert "self-signed certificate" in str(error)
    assert not camera.asked


@pytest.mark.parametrize("scheme", ["rtsps", "https"])
def test_a_certificate_for_another_host_is_refused(scheme, certificate):
    with Scripted(not_found, certificate) as camera:
        error = error_of(f"{scheme}://localhost:{camera.port}/cam", tls_verify=True, tls_ca=str(certificate[0]))
    assert error.reason is SourceReason.CERTIFICATE
    assert "localhost" in str(error)
    assert not camera.asked


@pytest.mark.parametrize("scheme", ["rtsps", "https"])
def test_a_server_without_tls_fails_in_one_line(scheme):
    with Scripted(lambda asked: b"hello\r\n\r\n") as camera:
        assert error_of(f"{scheme}://127.0.0.1:{camera.port}/cam", tls_verify=True, open_timeout_s=0.5) is not None


def test_a_login_over_unverified_tls_is_warned_about_once_per_camera(certificate, caplog):
    with Scripted(not_found, certificate) as camera:
        for _ in range(2):
            error_of(f"rtsps://admin:s3cr3t@127.0.0.1:{camera.port}/cam")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert lines[0].startswith("door: the login is sent over TLS, but the certificate is not verified")


def test_without_a_login_or_with_verification_there_is_no_warning(certificate, caplog):
    with Scripted(not_found, certificate) as camera:
        error_of(f"rtsps://127.0.0.1:{camera.port}/cam")
        address = f"rtsps://admin:s3cr3t@127.0.0.1:{camera.port}/cam"
        error_of(address, tls_verify=True, tls_ca=str(certificate[0]))
    assert not caplog.records


@pytest.mark.parametrize("verified", [False, True])
def test_video_over_rtsps_is_read(verified, certificate):
    with FakeCamera(("admin", "s3cr3t"), certificate=certificate) as camera:
        options = {"tls_verify": True, "tls_ca": str(certificate[0])} if verified else {}
        source = open_source(CameraConfig(name="door", source=camera.url("admin:s3cr3t@"), **options))
        pictures = [source.read() for _ in range(5)]
        source.close()
    assert source.live
    assert index_of(pictures[-1].image) is not None


@pytest.mark.parametrize("source", ["rtsps://u:s3cr3t@[::1/s", "https://u:s3cr3t@127.0.0.1:99999/", "https://"])
def test_an_address_that_is_not_valid_fails_in_one_line(source):
    assert error_of(source) is not None
