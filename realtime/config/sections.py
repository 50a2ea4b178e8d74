"""Every key of the configuration, with its meaning, its default and its limits.

Each class is a section, which one stage or part of the program receives.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast, get_args, get_origin
from urllib.parse import unquote

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from realtime.redact import HIDDEN, SecretAddress, shown
from realtime.wire.endpoints import parse_endpoint
from realtime.wire.small_file import read_small

TrackerMethod = Literal["bytetrack", "ocsort", "botsort", "boosttrack", "sfsort"]
Score = Annotated[float, Field(ge=0.0, le=1.0)]
CAMERA_NAME = "[A-Za-z0-9_-]{1,64}"
NAME_IN_WORDS = "letters, digits, _ and - (at most 64)"
CameraName = Annotated[str, Field(pattern=f"^{CAMERA_NAME}$")]
# More than one machine decodes. Each camera has a thread and several files.
MOST_CAMERAS = 1000
# At most this many connections to the stream. Each takes two file descriptors, and 1024 per process is a common limit.
MOST_PEERS = 256
# Characters of a source: the longest path on Linux. Signed URLs are shorter.
LONGEST_SOURCE = 4096
# Bytes of a file that holds one: a character of UTF-8 has at most four.
_MOST_SECRET_BYTES = 4 * LONGEST_SOURCE
# Bytes of a file of certificates. That of a whole system has 250 kB.
_MOST_CERTIFICATE_BYTES = 10_000_000

# The tests open rtsp, rtsps, http, rtmp and udp. The others work if FFmpeg was built with them.
URL_SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "rtp", "rtmp", "rtmps", "srt", "tcp", "file")
# Schemes whose certificates FFmpeg can verify.
_TLS_SCHEMES = ("rtsps", "https")
# The largest picture that OpenCV reads and FFmpeg converts, in pixels.
MOST_PIXELS = 2**30
Transport = Literal["tcp", "udp", "multicast"]
Accelerator = Literal["none", "auto", "cuda", "vaapi", "videotoolbox"]
Lever = Literal["cadence", "people", "size"]


def check_text(text: str) -> None:
    """Check that a text can be part of a path, a URL or a log line.

    Raises:
        ValueError: it contains a control character, or one that can't be encoded.
    """
    if re.search(r"[\x00-\x1f\x7f-\x9f]", text):
        raise ValueError("got a control character (such as a line break or NUL), expected plain text")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ValueError("got a character that can't be encoded, expected plain text") from None


def _at_home(text: str) -> str:
    """The text, or if it begins with ~/ the path in the user's home folder.

    Raises:
        ValueError: the user has none.
    """
    if text != "~" and not text.startswith("~/"):
        return text
    with contextlib.suppress(RuntimeError):
        if (path := Path(text).expanduser()).is_absolute():
            return str(path)
    raise ValueError("this user has no home folder for the ~; set HOME, or give the whole path")


def _file_text(value: object, check: ValidatorFunctionWrapHandler) -> str:
    """Accept a file name that isn't UTF-8, which pydantic refuses: Python keeps its other bytes as surrogates."""
    if isinstance(value, str) and re.search("[\udc80-\udcff]", value):
        return _at_home(value)
    return _at_home(cast("str", check(value)))


# Text that may be the name of a file, and the path of one.
FileText = Annotated[str, WrapValidator(_file_text)]
FilePath = Annotated[Path, BeforeValidator(lambda value: Path(_at_home(value)) if isinstance(value, str) else value)]


class Section(BaseModel):
    """A group of keys. A field's `title` is the placeholder for its value in `--help`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _printable(cls, value: object) -> object:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                check_text(text)
        return value


class CameraConfig(Section):
    """One camera.

    Each picture is rotated by `rotate`, cropped to `crop_xyxy` and, if it is larger than `resize`, scaled down. The
    result is the frame: its size is published, and its pixels are the unit of boxes and keypoints.
    """

    name: CameraName = Field(description=f"name of the camera in the stream: {NAME_IN_WORDS}")
    source: FileText = Field(
        min_length=1,
        max_length=LONGEST_SOURCE,
        description="webcam number or /dev path; path of a video, an image, a folder or a glob of images; URL "
        "(rtsp://, rtsps://, rtmp://, http(s)://, udp://); demo; env:NAME or secret:PATH to read it from a variable "
        "or a file",
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
    rotate: Literal[0, 90, 180, 270] = Field(0, description="rotate the picture clockwise (degrees)")
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
    _address: str = PrivateAttr("")

    @property
    def address(self) -> str:
        """The resolved `source`: itself, or the content of the variable or file it names. May hold a secret."""
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
        if isinstance(value, bool):
            raise ValueError("got a word that YAML reads as true or false; put it in quotes")
        return str(value) if isinstance(value, int) else value

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

    @model_validator(mode="after")
    def _find_address(self, info: ValidationInfo) -> CameraConfig:
        address = _resolved(self.source, os.environ if info.context is None else info.context)
        if len(address) > LONGEST_SOURCE:
            raise ValueError(f"source: got more than {LONGEST_SOURCE:,} characters, expected the address of a camera")
        kind, is_url, rest = address.partition("://")
        scheme = kind.lower() if is_url else ""
        if is_url and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", kind) and scheme not in URL_SCHEMES:
            # A secret may be anything, so not even its beginning is shown.
            got = f"that starts with {kind}://" if address == self.source else f"of an unknown kind from {self.source}"
            raise ValueError(f"source: got a URL {got}, expected one of {', '.join(URL_SCHEMES)}")
        _check_tls(self.tls_verify, self.tls_ca, scheme)
        if scheme == "file":
            address = unquote(rest)
        check_text(address)
        is_secret = self.source.startswith(("env:", "secret:"))
        self._address = SecretAddress(address, self.source) if is_secret else address
        return self


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
            raise ValueError(f"tls_ca: got {ca}, expected a file of at most {_MOST_CERTIFICATE_BYTES // 10**6} MB")
        ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise ValueError(f"tls_ca: {ca} contains no certificate, expected PEM") from None
    except OSError as error:
        raise ValueError(f"tls_ca: can't read {ca}: {error.strerror}") from None


def _resolved(source: str, environment: Mapping[str, str]) -> str:
    """The address of a camera: its source, or the content of the variable (env:NAME) or file (secret:PATH) it names.

    Raises:
        ValueError: the variable or file is missing or empty. No message contains its content.
    """
    kind, _, name = source.partition(":")
    if kind == "env":
        found, where = environment.get(name, ""), f"the environment variable {name}"
    elif kind == "secret":
        if not name:
            raise ValueError("got secret: without a path, expected secret:PATH")
        where = f"the file {name}"
        try:
            found = read_small(Path(name), _MOST_SECRET_BYTES).decode(
                "utf-8-sig"
            )  # some editors write a byte order mark
        except UnicodeDecodeError:
            raise ValueError(f"can't read {where}: not text") from None
        except ValueError as error:
            raise ValueError(f"can't read {where}: {error}") from None
    else:
        return source
    if not (found := found.strip()):
        is_set = kind == "secret" or name in environment
        raise ValueError(f"{where} is {'empty' if is_set else 'not set'}, expected it to contain a camera's URL")
    if len(found.splitlines()) > 1:
        raise ValueError(f"{where} has {len(found.splitlines())} lines, expected a single line: a camera's URL")
    return found


class DetectorConfig(Section):
    """Person detection."""

    weights: FileText = Field(
        "auto",
        min_length=1,
        title="NAME|FILE",
        description="auto, an ultralytics model by name (yolo11n, yolov8s, ...) or the path of a .pt file; such a file "
        "can contain code, so use only those of people you trust",
    )
    engine: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="inference engine: torch runs anywhere, openvino on a CPU; auto picks the faster one"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="numeric precision; auto picks the fastest one that the hardware supports natively"
    )
    size: int = Field(640, ge=32, le=4096, description="longer side of the detector's input (pixels), a multiple of 32")
    every: int = Field(
        1, ge=1, le=100, description="run the detector on every Nth frame; boxes are extrapolated in between"
    )
    min_score: Score = Field(0.1, description="discard detections with a lower score")
    nms_iou: Score = Field(0.7, description="of two boxes that overlap more than this (IoU), keep the better one")

    @field_validator("size")
    @classmethod
    def _whole_strides(cls, size: int) -> int:
        if size % 32:
            raise ValueError("expected a multiple of 32 (the detector's stride)")
        return size


class TrackerConfig(Section):
    """Association of detections into tracks."""

    method: TrackerMethod = Field(
        "bytetrack",
        description="tracking method; botsort also compensates for the camera's motion",
    )
    reid: FilePath | None = Field(
        None,
        description="botsort, boosttrack: weights of an appearance (re-identification) network, a .pt or .pth file "
        "that boxmot can load (osnet_x0_25_msmt17.pt, ...); loading it runs the code in it, so use only files of "
        "people you trust; unset: compare boxes only",
    )
    track_score: Score = Field(
        0.45, description="detections with at least this score are matched first and start new tracks"
    )
    low_score: Score = Field(
        0.1, description="detections below track_score, down to this score, only continue existing tracks"
    )
    match_iou: Score = Field(
        0.2,
        description="minimum IoU x score to match a detection to a track in the first association (sfsort uses its own "
        "measure)",
    )
    buffer_s: float = Field(2.0, ge=0.0, le=600.0, description="how long the identity of a lost person is kept (s)")
    relink_s: float = Field(
        3.0,
        ge=0.0,
        le=60.0,
        description="how long after a person was last seen they can be re-identified by pose (s); 0 disables",
    )

    @model_validator(mode="after")
    def _looks_at_people(self) -> TrackerConfig:
        if self.reid is not None and self.method not in ("botsort", "boosttrack"):
            raise ValueError(f"reid: got {self.reid} with {self.method}, expected botsort or boosttrack")
        return self


class InputSize(NamedTuple):
    """Width and height of ViTPose's input in pixels. Its text is HEIGHTxWIDTH, in the order of ViTPose's authors."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


def _input_size(text: object) -> InputSize:
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", str(text))
    if match is None or any(int(side) % 16 or not 32 <= int(side) <= 1024 for side in match.groups()):
        raise ValueError("expected HEIGHTxWIDTH in pixels, multiples of 16 from 32 to 1024, e.g. 256x192")
    return InputSize(width=int(match[2]), height=int(match[1]))


class PoseConfig(Section):
    """Pose estimation."""

    model: FileText = Field(
        "auto",
        min_length=1,
        title="NAME|PATH",
        description="auto, a ViTPose checkpoint by its Hugging Face name or its folder, a YOLO pose .pt file (which "
        "can contain code: use only those of people you trust), detector (the detector's own keypoints) or none",
    )
    engine: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="inference engine: torch runs anywhere, openvino on a CPU; auto picks the faster one"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        "auto",
        description="numeric precision; auto picks the fastest one, of 16 bits or more, that the hardware supports "
        "natively",
    )
    self_test: Literal["stop", "warn"] = Field(
        "stop", description="what to do if the engine fails the startup comparison with fp32 and there is no fallback"
    )
    input_size: Annotated[InputSize, PlainValidator(_input_size), PlainSerializer(str)] | None = Field(
        None,
        title="HEIGHTxWIDTH",
        description="input size of ViTPose: 384x288 for detail, 192x144 for speed, ...; unset: as trained",
    )
    decode_sigma: float = Field(
        2.0,
        gt=0.0,
        le=10.0,
        description="standard deviation of the DARK decoder's Gaussian (heatmap pixels): 2.0 as published, 0.8 as in "
        "Hugging Face",
    )
    max_people: int | None = Field(
        None,
        ge=1,
        description="run the pose model on at most this many people per frame, in rotation; the poses of the others "
        "are predicted",
    )


class SmoothingConfig(Section):
    """Keypoint smoothing. The size of a person is the longer side of their box."""

    method: Literal["one-euro", "kalman", "none"] = Field("kalman", description="keypoint filter")
    min_score: Score = Field(
        0.3, description="ignore keypoints with a lower score: they are held (One-Euro) or predicted (Kalman)"
    )
    reset_s: float = Field(
        0.5, gt=0.0, description="restart the filter of a keypoint that has not been seen for longer than this (s)"
    )
    predict_ms: float | Literal["age"] = Field(
        0.0,
        title="MS|age",
        description="Kalman: publish keypoints predicted this far ahead (ms); age: predicted to the time of publishing",
    )
    min_cutoff_hz: float = Field(1.0, gt=0.0, description="One-Euro: cutoff frequency at rest (Hz); lower is smoother")
    beta: float = Field(
        8.0,
        ge=0.0,
        description="One-Euro: increase of the cutoff with speed, in Hz per (person size per second); higher lags less",
    )
    derivative_cutoff_hz: float = Field(
        1.0, gt=0.0, description="One-Euro: cutoff frequency of the speed estimate (Hz)"
    )
    acceleration: float = Field(
        1.5, gt=0.0, description="Kalman: expected acceleration of a person at rest, in person sizes per second squared"
    )
    agility: float = Field(
        8.0, ge=0.0, description="Kalman: increase of that acceleration with speed (1/s); higher lags less"
    )
    gate: float = Field(
        1.0,
        gt=0.0,
        description="Kalman: down-weight measurements whose distance from the prediction exceeds this multiple of the "
        "expected distance",
    )
    noise: float = Field(0.015, gt=0.0, description="Kalman: standard deviation of the keypoint noise, in person sizes")

    @field_validator("predict_ms", mode="before")
    @classmethod
    def _not_far(cls, ms: object) -> object:
        try:
            known = ms == "age" or 0.0 <= float(str(ms)) <= 500.0
        except ValueError:
            known = False
        if not known:
            raise ValueError("expected age or 0..500 ms: motion is not predictable beyond that")
        return ms

    @model_validator(mode="after")
    def _predicts_by_speed(self) -> SmoothingConfig:
        if self.method != "kalman" and self.predict_ms != 0.0:
            raise ValueError(
                f"predict_ms: got {self.predict_ms} with method {self.method}, expected kalman: only it estimates speed"
            )
        return self


class LatencyConfig(Section):
    """Limits on the time from capture to publishing."""

    frames_in_flight: int = Field(3, ge=1, le=16, description="maximum number of frames per camera inside the pipeline")
    max_age_ms: float = Field(
        500.0,
        gt=0.0,
        description="live: drop a frame that is already older than this when its processing would start (ms)",
    )
    target_ms: float | None = Field(
        None,
        ge=10.0,
        description="live: publish within this time of capture (ms), by computing less when needed; unset: off",
    )
    levers: list[Lever] = Field(
        ["cadence", "people", "size"],
        description="what target_ms may reduce, in this order: cadence (detector.every, up to 3), people "
        "(pose.max_people, down to 3), size (detector.size, down to half)",
    )


class PublishConfig(Section):
    """The ZeroMQ stream."""

    bind: list[str] = Field(
        ["tcp://127.0.0.1:5555"],
        min_length=1,
        title="ENDPOINT",
        description="ZeroMQ endpoint to publish on: tcp://HOST:PORT or ipc://PATH",
    )
    encoding: Literal["msgpack", "json"] = Field("msgpack", description="encoding of the payload")
    raw_keypoints: bool = Field(False, description="also publish the keypoints from before smoothing")
    wait_for_subscribers: int = Field(
        0, ge=0, le=MOST_PEERS, description="hold the first frame until this many subscribers are connected"
    )
    curve_secret: FilePath | None = Field(
        None, description="secret key file of this publisher (made by python -m realtime.keys); encrypts the stream"
    )
    curve_clients: FilePath | None = Field(
        None,
        description="folder with the public keys of permitted readers; unset: the folder 'clients' beside the file of "
        "curve_secret",
    )
    allow_insecure: bool = Field(
        False, description="allow an unencrypted endpoint beyond loopback: anyone on the network can read it"
    )

    @field_validator("bind", mode="before")
    @classmethod
    def _one(cls, bind: object) -> object:
        return [bind] if isinstance(bind, str) else bind

    @field_validator("bind")
    @classmethod
    def _endpoints(cls, bind: list[str]) -> list[str]:
        for endpoint in bind:
            parsed = parse_endpoint(endpoint)
            if parsed is None:
                raise ValueError(f"got {shown(endpoint)!r}, expected tcp://HOST:PORT or ipc://PATH")
            if not parsed.can_bind:
                raise ValueError(f"port: got {parsed.port}, expected 1..65535 (or * for any free port)")
        if len(set(bind)) < len(bind):
            raise ValueError("got the same endpoint twice, expected different ones")
        return bind

    @model_validator(mode="after")
    def _loopback(self) -> PublishConfig:
        for endpoint in self.bind:
            parsed = parse_endpoint(endpoint)
            if parsed and not (parsed.is_local or self.allow_insecure or self.curve_secret):
                raise ValueError(
                    f"anyone on the network could read {endpoint}: bind to 127.0.0.1, set keys with "
                    "--publish.curve-secret, or accept it with --publish.allow-insecure"
                )
        if self.curve_clients is not None and self.curve_secret is None:
            raise ValueError("curve_clients: expected curve_secret too; without it, anyone can read the stream")
        return self

    @property
    def clients(self) -> Path | None:
        """The folder with the public keys of permitted readers; None without encryption."""
        return self.curve_clients or (self.curve_secret.parent / "clients" if self.curve_secret else None)


class AppConfig(Section):
    """The whole configuration of a run."""

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$",
        title="auto|cpu|cuda|cuda:N|mps",
        description="device that runs the models; auto: the first CUDA device, else mps, else cpu",
    )
    cameras: list[CameraConfig] = Field(
        [], max_length=MOST_CAMERAS, title="YAML", description="list of cameras; --source replaces it"
    )
    realtime: bool = Field(
        False, description="play files at their own speed, like a live camera: the newest frame wins"
    )
    loop: bool = Field(False, description="restart a file at its end")
    max_frames: int | None = Field(None, ge=1, description="stop each camera after this many frames; unset: no limit")
    fail_fast: bool = Field(False, description="end the run if a network camera can't be opened at startup")
    detector: DetectorConfig = DetectorConfig()
    tracker: TrackerConfig = TrackerConfig()
    pose: PoseConfig = PoseConfig()
    smoothing: SmoothingConfig = SmoothingConfig()
    latency: LatencyConfig = LatencyConfig()
    publish: PublishConfig = PublishConfig()
    record: FilePath | None = Field(
        None, description="write every pose message to this .jsonl file, one per line; an earlier one is renamed"
    )
    report: FilePath | None = Field(
        None, description="write a run report (JSON) to this file; it replaces an earlier report and nothing else"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe level that is logged"
    )
    log_format: Literal["text", "json"] = Field("text", description="format of the log lines")

    @field_validator("record")
    @classmethod
    def _jsonl(cls, record: Path | None) -> Path | None:
        if record is not None and record.suffix != ".jsonl":
            raise ValueError("expected a file name that ends in .jsonl")
        return record

    @model_validator(mode="after")
    def _consistent(self) -> AppConfig:
        names = [camera.name for camera in self.cameras]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise ValueError(f"cameras: got two cameras with the name {twice[0]!r}, expected different names")
        if self.detector.min_score > self.tracker.low_score:
            raise ValueError(
                f"detector.min_score: got {self.detector.min_score}, expected at most tracker.low_score "
                f"({self.tracker.low_score}): the tracker needs the weak detections to continue tracks"
            )
        if self.tracker.low_score > self.tracker.track_score:
            raise ValueError(
                f"tracker.low_score: got {self.tracker.low_score}, expected at most tracker.track_score "
                f"({self.tracker.track_score})"
            )
        return self


# ---- the keys as a list


class Key(NamedTuple):
    """One key of the configuration."""

    name: str  # with dots: "pose.model"
    kind: object  # its type annotation
    default: object
    description: str
    placeholder: str  # stands for the value in --help: "NAME|PATH"
    is_required: bool


def leaves(model: type[BaseModel] = AppConfig, prefix: str = "") -> Iterator[Key]:
    """Every key, in the order of declaration."""
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            default = None if info.is_required() else info.default
            placeholder = info.title or placeholder_of(kind)
            yield Key(f"{prefix}{name}", kind, default, info.description or "", placeholder, info.is_required())


def sections() -> dict[str, str]:
    """The name and description of each section of the configuration."""
    kinds = {name: info.annotation for name, info in AppConfig.model_fields.items()}
    return {
        name: (kind.__doc__ or "").partition("\n")[0]  # python -OO leaves out all descriptions
        for name, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, Section)
    }


def placeholder_of(kind: object) -> str:
    """The placeholder for a value of this type in --help: its choices or its type."""
    if get_origin(kind) is Literal:
        return "|".join(str(choice) for choice in get_args(kind))
    if get_args(kind):  # a list, or optional
        return placeholder_of(get_args(kind)[0])
    return {bool: "true|false", int: "N", float: "NUMBER", Path: "PATH"}.get(cast(Any, kind), "TEXT")


def is_repeatable(kind: object) -> bool:
    """Whether a key of this type is a list of plain values, so that its flag can be repeated."""
    return get_origin(kind) is list and kind != list[CameraConfig]


def changes(before: AppConfig, after: AppConfig) -> list[str]:
    """The dotted names of the keys whose values differ."""
    return [key.name for key in leaves() if attrgetter(key.name)(before) != attrgetter(key.name)(after)]
