"""The keys of one camera.

Its source may be `env:NAME` or `secret:PATH`: the value is then read here, once, and kept as `address`. No other key
can be read from a variable or a file of its own.
"""

from __future__ import annotations

import math
import os
import re
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import unquote

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from realtime.config.reading import Reading
from realtime.config.texts import FileText, Section, check_filled, check_quotes, check_text
from realtime.home import at_home
from realtime.printable import printable
from realtime.redact import HIDDEN, SecretAddress

CAMERA_NAME = "[A-Za-z0-9_-]{1,64}"
NAME_IN_WORDS = "letters, digits, _ and - (at most 64)"
CameraName = Annotated[str, Field(pattern=f"^{CAMERA_NAME}$")]
# Longest source (characters): as long as the longest path on Linux. Signed URLs are shorter.
LONGEST_SOURCE = 4096
# Largest file that contains a source (bytes): a character of UTF-8 has at most four.
_MOST_SECRET_BYTES = 4 * LONGEST_SOURCE
# Largest file of certificates (bytes). Those that a system trusts take 250 kB.
_MOST_CERTIFICATE_BYTES = 10_000_000

# The tests open rtsp, rtsps, http, rtmp and udp. The others work if FFmpeg was built with them.
URL_SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "rtp", "rtmp", "rtmps", "srt", "tcp", "file")
# Schemes whose certificates FFmpeg can verify.
_TLS_SCHEMES = ("rtsps", "https")
# The largest picture that OpenCV reads and FFmpeg converts, in pixels.
MOST_PIXELS = 2**30
# The longest list of polygons, and of corners of one, that a camera may have.
_MOST_POLYGONS, _MOST_CORNERS = 100, 1000
Transport = Literal["tcp", "udp", "multicast"]
Accelerator = Literal["none", "auto", "cuda", "vaapi", "videotoolbox"]
IdleDecode = Literal["all", "nonref", "key"]


class Addresses(NamedTuple):
    """What the sources env:NAME and secret:PATH are read from. The context in which cameras are validated."""

    environment: Mapping[str, str]
    reading: Reading


ActivityMode = Literal["auto", "on", "off"]
Corner = tuple[Annotated[float, Field(ge=0.0, le=65536.0)], Annotated[float, Field(ge=0.0, le=65536.0)]]


def _degrees(value: object) -> object:
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,3}", value.strip()) else value


class CameraConfig(Section):
    """One camera.

    Each picture is rotated by `rotate`, cropped to `crop_xyxy` and, if it is larger than `resize`, scaled down. The
    result is the frame: its size is published, and its pixels are the unit of boxes and keypoints.
    """

    name: CameraName = Field(description=f"name of the camera in the stream: {NAME_IN_WORDS}")
    source: FileText = Field(
        min_length=1,
        max_length=LONGEST_SOURCE,
        description="webcam number or /dev path; path of a video, an image, a pipe, a folder or a glob of images; URL "
        "(rtsp://, rtsps://, rtmp://, http(s)://, udp://); demo, or demo:clock, which shows a clock; "
        "env:NAME or secret:PATH to read it from a variable or a file",
    )
    transport: Transport = Field("tcp", description="RTSP: transport protocol")
    tls_verify: bool = Field(
        False, description="rtsps, https: refuse a server whose certificate isn't valid for its name and trusted"
    )
    tls_ca: FileText | None = Field(
        None,
        min_length=1,
        title="FILE",
        description="certificates (PEM) to trust instead of the system's, such as a camera's self-signed one",
    )
    open_timeout_s: float = Field(10.0, ge=0.1, le=120.0, description="network: timeout for opening (s)")
    read_timeout_s: float | None = Field(
        None,
        ge=0.1,
        le=120.0,
        description="network: seconds of silence after which the camera counts as lost; unset: 2, or 10 over HTTP",
    )
    clock: Literal["auto", "arrival"] = Field(
        "auto", description="source of captured_ns; auto: the camera's own clock (RTCP) if it sends one, else arrival"
    )
    hwaccel: Accelerator = Field(
        "none", description="hardware video decoder; falls back to software if the decoder can't be used"
    )
    mode: str | None = Field(
        None,
        pattern=r"^[1-9]\d{0,4}x[1-9]\d{0,4}(@[1-9]\d{0,2}(\.\d+)?)?$",
        title="WIDTHxHEIGHT[@FPS]",
        description="webcam: WIDTHxHEIGHT or WIDTHxHEIGHT@FPS; unset: the driver's choice",
    )
    rotate: Annotated[Literal[0, 90, 180, 270], BeforeValidator(_degrees)] = Field(
        0, description="rotate the picture clockwise (degrees)"
    )
    crop_xyxy: tuple[int, int, int, int] | None = Field(
        None,
        title="[x1, y1, x2, y2]",
        description="use only this part of the rotated picture: [x1, y1, x2, y2] in pixels",
    )
    resize: int | None = Field(
        None, ge=32, le=16384, description="longer side (pixels) to which larger pictures are scaled down"
    )
    target_fps: float | None = Field(
        None, gt=0.0, le=1000.0, description="live: use at most this many frames per second"
    )
    max_pixels: int | None = Field(
        None,
        ge=1,
        le=MOST_PIXELS,
        description="largest picture that is decoded, as width x height in pixels; unset: 64 million for a URL, 250 "
        "million for files and images. No limit for webcams",
    )
    activity: ActivityMode | None = Field(None, description="activity.mode of this camera; unset: as for all cameras")
    mask: list[list[Corner]] = Field(
        [],
        max_length=_MOST_POLYGONS,
        title="[[[x, y], ...], ...]",
        description="ignore motion in these polygons, each of at least 3 corners [x, y] in pixels of the published "
        "frame; people are found there all the same",
    )
    sensitivity: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="sensitivity of the motion gate: a higher value notices less contrast and smaller areas",
    )
    idle_decode: IdleDecode = Field(
        "all",
        description="frames to decode while the camera is empty; nonref: leave out those that no other frame refers to "
        "(B-frames); key: only key frames, so motion is noticed with the next one",
    )
    _address: str = PrivateAttr("")

    @property
    def address(self) -> str:
        """The resolved `source`: itself, or the content of the variable or file it names. May contain a secret."""
        return self._address

    @property
    def silence_s(self) -> float:
        """Seconds of silence after which a live source is lost. HTTP video arrives seconds at a time."""
        if self.read_timeout_s is not None:
            return self.read_timeout_s
        return 10.0 if self.address.lower().startswith(("http:", "https:")) else 2.0

    @field_validator("name", "source", mode="before")
    @classmethod
    def _as_written(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("source")
    @classmethod
    def _not_a_dash(cls, source: str) -> str:
        if source == "-":
            raise ValueError("got -, expected /dev/stdin for standard input, or ./- for a file of this name")
        return source

    @field_validator("source")
    @classmethod
    def _not_redacted(cls, source: str) -> str:
        if HIDDEN in source:
            raise ValueError(f"--print-config replaced a secret with {HIDDEN}; put the secret back")
        return source

    @field_validator("crop_xyxy")
    @classmethod
    def _a_box(cls, crop: tuple[int, int, int, int] | None) -> tuple[int, int, int, int] | None:
        if crop is not None and not (0 <= crop[0] < crop[2] and 0 <= crop[1] < crop[3]):
            raise ValueError("expected 0 <= x1 < x2 and 0 <= y1 < y2")
        return crop

    @field_validator("mask", mode="before")
    @classmethod
    def _list_of_polygons(cls, mask: object) -> object:
        corner = mask[0][0] if isinstance(mask, list) and mask and isinstance(mask[0], list) and mask[0] else []
        if isinstance(corner, str | int | float):
            raise ValueError("got one polygon, expected a list of polygons: [[[x, y], [x, y], [x, y]]]")
        return mask

    @field_validator("mask")
    @classmethod
    def _polygons(cls, mask: list[list[Corner]]) -> list[list[Corner]]:
        for number, corners in enumerate(mask):
            where = f"polygon {number}: " if len(mask) > 1 else ""
            if not 3 <= len(corners) <= _MOST_CORNERS:
                raise ValueError(f"{where}got {len(corners)} corners, expected 3 to {_MOST_CORNERS}")
            if max(max(corner) for corner in corners) <= 1.0:
                raise ValueError(f"{where}got fractions of the frame, expected pixels of the published frame")
            if _area(corners) < 1.0:
                raise ValueError(f"{where}got corners on one line, expected an area of at least one pixel")
        return mask

    @model_validator(mode="after")
    def _find_address(self, info: ValidationInfo) -> CameraConfig:
        address = _resolved(self.source, info.context or Addresses(os.environ, Reading()))
        if len(address) > LONGEST_SOURCE:
            raise ValueError(f"source: got more than {LONGEST_SOURCE:,} characters, expected the address of a camera")
        address = re.sub(r"^file:(//localhost(?=/))?(?=/(?!/))", "file://", address, flags=re.IGNORECASE)
        kind, is_url, rest = address.partition("://")
        scheme = kind.lower() if is_url else ""
        if is_url and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", kind) and scheme not in URL_SCHEMES:
            # The content of a variable or file may be any secret, so not even its beginning is shown.
            got = (
                f"that starts with {kind}://"
                if address == self.source
                else f"of an unknown kind from {printable(self.source)}"
            )
            raise ValueError(f"source: got a URL {got}, expected one of {', '.join(URL_SCHEMES)}")
        check_filled(address)
        _check_tls(self.tls_verify, self.tls_ca, scheme)
        if scheme == "file":
            address = unquote(rest, errors="surrogateescape")  # a name need not be UTF-8
        if scheme in ("", "file"):
            address = at_home(address)
        check_text(address)
        check_quotes(address)
        is_secret = self.source.startswith(("env:", "secret:"))
        self._address = SecretAddress(address, self.source) if is_secret else address
        return self


def _area(corners: list[Corner]) -> float:
    """The area of the largest triangle on the line from the first corner to the one farthest from it."""
    x0, y0 = corners[0]
    sides = [(x - x0, y - y0) for x, y in corners]
    far_x, far_y = max(sides, key=lambda side: math.hypot(*side))
    return max(abs(far_x * y - far_y * x) for x, y in sides) / 2


def _check_tls(verify: bool, ca: str | None, scheme: str) -> None:
    """Check the keys of TLS against each other and against the scheme of the camera's URL.

    Raises:
        ValueError: they ask for a check that would not happen, or the file can't be read.
    """
    if verify and scheme not in _TLS_SCHEMES:
        kind = f"a source that starts with {scheme}://" if scheme in URL_SCHEMES else "a source without TLS"
        raise ValueError(f"tls_verify: got {kind}, expected {' or '.join(f'{name}://' for name in _TLS_SCHEMES)}")
    if ca is None:
        return
    if not verify:
        raise ValueError("tls_ca: got a file, but no certificate is verified; set tls_verify: true")
    try:
        # FFmpeg and OpenSSL open it at every connection, and would read a device or a pipe without end.
        status = Path(ca).stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_CERTIFICATE_BYTES:
            raise ValueError(
                f"tls_ca: got {printable(ca)}, expected a file of at most {_MOST_CERTIFICATE_BYTES // 10**6} MB"
            )
        ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise ValueError(f"tls_ca: {printable(ca)} contains no certificate, expected PEM") from None
    except OSError as error:
        raise ValueError(f"tls_ca: can't read {printable(ca)}: {error.strerror}") from None


def _resolved(source: str, addresses: Addresses) -> str:
    """The address of a camera: its source, or the content of the variable (env:NAME) or file (secret:PATH) it names.

    Raises:
        ValueError: the variable or file is missing or empty. No message contains its content.
    """
    kind, _, name = source.partition(":")
    if kind == "env":
        found, where = addresses.environment.get(name, ""), f"the environment variable {printable(name)}"
    elif kind == "secret":
        if not name:
            raise ValueError("got secret: without a path, expected secret:PATH")
        where = f"the file {printable(name)}"  # pydantic fails at a surrogate in a message
        try:
            # Some editors write a byte order mark.
            found = addresses.reading.read_secret(Path(at_home(name)), _MOST_SECRET_BYTES).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError(f"can't read {where}: not text") from None
        except ValueError as error:
            raise ValueError(f"can't read {where}: {error}") from None
    else:
        return source
    if not (found := found.strip()):
        is_set = kind == "secret" or name in addresses.environment
        raise ValueError(f"{where} is {'empty' if is_set else 'not set'}, expected it to contain a camera's URL")
    if len(found.splitlines()) > 1:
        raise ValueError(f"{where} has {len(found.splitlines())} lines, expected a single line: a camera's URL")
    if re.match(r"(?:export )?[A-Za-z_]\w*=[\"']?[a-z]+://", found):
        raise ValueError(f"{where} contains an assignment to a variable, expected the camera's URL alone")
    if found[:1] in ('"', "'", "{", "["):
        raise ValueError(f"{where} begins with a quote or a bracket, expected the camera's URL alone")
    return found
