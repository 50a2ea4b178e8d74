"""The configuration: every key, its meaning, its default and its limits.

Read once, before anything is built: defaults < YAML files < environment < flags. Each stage is given its own section.
Mistakes become one ConfigError line that names the key, where it was set, what was got and what is expected.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import unquote

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from realtime.errors import ConfigError
from realtime.redact import HIDDEN, redact, shown

ENV_PREFIX = "REALTIME_"

TrackerMethod = Literal["bytetrack", "ocsort", "botsort", "boosttrack", "sfsort"]
Score = Annotated[float, Field(ge=0.0, le=1.0)]
CameraName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


def _check_endpoint(endpoint: str) -> None:
    """Raise ValueError unless ZeroMQ would bind exactly what this says (it silently wraps ports beyond 65535)."""
    if re.fullmatch(r"ipc://.+", endpoint):
        return
    match = re.fullmatch(r"tcp://(\[[^\]]+\]|[^:/\[\]]+):(\d+|\*)", endpoint)
    if match is None:
        raise ValueError(f"got {shown(endpoint)!r}, expected tcp://HOST:PORT or ipc://PATH")
    port = match[2]
    if port != "*" and not 1 <= int(port) <= 65535:
        raise ValueError(f"port: got {port}, expected 1..65535 (or * for any free one)")


def _is_local(endpoint: str) -> bool:
    """True where only programs on this machine can connect."""
    if endpoint.startswith("ipc://"):
        return True
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if host in ("localhost", "lo"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# Those that are tested are rtsp, http and udp; the others are FFmpeg's, where it was built with them.
_URLS = ("rtsp", "rtsps", "http", "https", "udp", "rtp", "rtmp", "rtmps", "srt", "tcp", "file")
Transport = Literal["tcp", "udp"]
Accelerator = Literal["none", "auto", "cuda", "vaapi", "videotoolbox"]
Means = Literal["cadence", "people", "size"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class CameraConfig(_Section):
    """One camera.

    Its picture is turned by `rotate`, then cut to `crop_xyxy`, then scaled to `resize`: what comes out of that is the
    frame, whose size is published and in whose pixels boxes and keypoints are.
    """

    name: CameraName = Field(description="what the stream calls it: letters, digits, _ and -")
    source: str = Field(
        min_length=1,
        description="webcam number or /dev path, path of a video, an image, a folder or glob of images, rtsp:// "
        "rtsps:// http(s):// udp:// URL, or demo; env:NAME or secret:PATH for one in a variable or a file",
    )
    transport: Transport = Field("tcp", description="RTSP: how the pictures travel, tcp or udp")
    open_timeout_s: float = Field(10.0, ge=0.1, le=120.0, description="network: how long opening may take")
    read_timeout_s: float | None = Field(
        None, ge=0.1, le=120.0, description="network: silent for so long is lost; null: 2, over HTTP 10"
    )
    clock: Literal["auto", "arrival"] = Field(
        "auto", description="captured_ns: auto takes the camera's own clock (RTCP) where it tells it, or arrival"
    )
    hwaccel: Accelerator = Field(
        "none", description="decode video in hardware: none, auto, cuda, vaapi or videotoolbox; software where it can't"
    )
    mode: str | None = Field(
        None,
        pattern=r"^[1-9]\d{0,4}x[1-9]\d{0,4}(@[1-9]\d{0,2}(\.\d+)?)?$",
        description="webcam: WIDTHxHEIGHT or WIDTHxHEIGHT@FPS; null: the driver's choice",
    )
    rotate: Literal[0, 90, 180, 270] = Field(0, description="turn the picture by so many degrees, clockwise")
    crop_xyxy: tuple[int, int, int, int] | None = Field(
        None, description="look at this part of the (turned) picture alone: [x1, y1, x2, y2] in its pixels"
    )
    resize: int | None = Field(None, ge=32, le=16384, description="scale larger pictures down to this longer side")
    target_fps: float | None = Field(
        None, gt=0.0, le=1000.0, description="live: take no more pictures a second than this"
    )
    _address: str = PrivateAttr("")

    @property
    def address(self) -> str:
        """What `source` stands for: itself, or what the variable or the file that it names holds. May be a secret."""
        return self._address

    @property
    def silence_s(self) -> float:
        """Seconds after which a live source that gives nothing is lost. Over HTTP video comes seconds at a time."""
        if self.read_timeout_s is not None:
            return self.read_timeout_s
        return 10.0 if self.address.lower().startswith(("http:", "https:")) else 2.0

    @field_validator("name", "source", mode="before")
    @classmethod
    def _as_written(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("got a word that YAML reads as true or false, put it in quotes")
        return str(value) if isinstance(value, int) else value

    @field_validator("source")
    @classmethod
    def _not_redacted(cls, source: str) -> str:
        if HIDDEN in source:
            raise ValueError(f"a secret was hidden by --print-config as {HIDDEN}, put it back")
        return source

    @field_validator("crop_xyxy")
    @classmethod
    def _a_box(cls, crop: tuple[int, int, int, int] | None) -> tuple[int, int, int, int] | None:
        if crop is not None and not (0 <= crop[0] < crop[2] and 0 <= crop[1] < crop[3]):
            raise ValueError("expected x1 < x2 and y1 < y2, none of them negative")
        return crop

    @model_validator(mode="after")
    def _find_address(self, info: ValidationInfo) -> CameraConfig:
        address = _resolved(self.source, os.environ if info.context is None else info.context)
        kind, is_url, rest = address.partition("://")
        if is_url and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", kind) and kind.lower() not in _URLS:
            raise ValueError(f"source: got a URL that begins with {kind}://, expected one of {', '.join(_URLS)}")
        self._address = unquote(rest) if is_url and kind.lower() == "file" else address
        return self


def _resolved(source: str, environment: Mapping[str, str]) -> str:
    """A camera's address: its source, or what the variable (env:NAME) or the file (secret:PATH) that it names holds.

    Raises:
        ValueError: there is no such variable or file, or it is empty. No message holds what was found.
    """
    kind, _, name = source.partition(":")
    if kind == "env":
        found, where = environment.get(name, ""), f"the environment variable {name}"
    elif kind == "secret":
        where = f"the file {name}"
        try:
            found = Path(name).read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"can't read {where}: {getattr(error, 'strerror', 'not text')}") from None
    else:
        return source
    if not (found := found.strip()):
        raise ValueError(f"{where} is not set or empty, expected a camera's URL in it")
    if len(found.splitlines()) > 1:
        raise ValueError(f"{where} holds {len(found.splitlines())} lines, expected one: a camera's URL")
    return found


class DetectorConfig(_Section):
    """Person detection."""

    weights: str = Field(
        "auto",
        min_length=1,
        description="auto, the name of an ultralytics model (yolo11n, yolov8s, ...) or the path of a .pt file",
    )
    engine: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="what computes it: torch anywhere, openvino on a CPU; auto takes the faster one"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="numbers that it is computed in; auto: the fastest that is native"
    )
    size: int = Field(640, ge=32, le=4096, description="longer side of the detector's input in pixels, multiple of 32")
    every: int = Field(
        1, ge=1, le=100, description="look at each so many-th frame; in between, people go on as they went"
    )
    min_score: Score = Field(0.1, description="weaker detections are not given to the tracker")
    nms_iou: Score = Field(0.7, description="of two boxes that overlap more than this, the weaker is dropped")

    @field_validator("size")
    @classmethod
    def _whole_strides(cls, size: int) -> int:
        if size % 32:
            raise ValueError("expected a multiple of 32 (the detector's stride)")
        return size


class TrackerConfig(_Section):
    """Association of detections into tracks."""

    method: TrackerMethod = Field(
        "bytetrack",
        description="who is who: bytetrack, ocsort, botsort (looks at the camera's motion too), boosttrack or sfsort",
    )
    reid: Path | None = Field(
        None,
        description="botsort, boosttrack: weights of a network that tells people apart by their looks, a .pt file that "
        "boxmot can load (osnet_x0_25_msmt17.pt, ...); null: by their boxes alone",
    )
    track_score: Score = Field(0.45, description="detections from this score on are matched first and begin new tracks")
    low_score: Score = Field(0.1, description="weaker ones down to this score only continue a track")
    match_iou: Score = Field(
        0.2,
        description="a detection belongs to a track when IoU x score is at least this (first association; sfsort has "
        "a measure of its own)",
    )
    buffer_s: float = Field(2.0, ge=0.0, le=600.0, description="seconds that a lost person's identity is kept")
    relink_s: float = Field(
        3.0,
        ge=0.0,
        le=60.0,
        description="seconds for which somebody lost who comes back as a newcomer is known again by their pose; 0: off",
    )

    @model_validator(mode="after")
    def _looks_at_people(self) -> TrackerConfig:
        if self.reid is not None and self.method not in ("botsort", "boosttrack"):
            raise ValueError(f"reid: got {self.reid} with {self.method}, expected botsort or boosttrack")
        return self


class PoseConfig(_Section):
    """Pose estimation."""

    model: str = Field(
        "auto",
        min_length=1,
        description="auto, a ViTPose checkpoint on the Hugging Face hub, a folder with one, a YOLO pose .pt file, "
        "detector (the detector's own keypoints) or none",
    )
    engine: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="what computes ViTPose: torch anywhere, openvino on a CPU; auto takes the faster one"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        "auto", description="numbers that ViTPose is computed in; auto: the fastest of 16 bits and more that is native"
    )
    self_test: Literal["stop", "warn"] = Field(
        "stop", description="when the chosen engine's heatmaps are not those of fp32 at the start: stop or warn"
    )
    input_size: str | None = Field(
        None,
        description="height x width of ViTPose's input: 384x288 (detail), 192x144 (speed), ...; null: as trained",
    )
    dataset_index: int = Field(0, description="ViTPose+: the data set whose expert is used; 0, COCO, is the only one")
    decode_sigma: float = Field(
        2.0,
        gt=0.0,
        le=10.0,
        description="Gaussian of the DARK decoder in heatmap pixels: 2.0 as published, 0.8 as Hugging Face decodes",
    )
    max_people: int | None = Field(
        None,
        ge=1,
        description="most people of a frame whose pose is measured; the others' is predicted and they take turns",
    )

    @field_validator("input_size", mode="before")
    @classmethod
    def _two_sides(cls, size: object) -> object:
        if size is None:
            return None
        match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", str(size))
        if match is None or any(int(side) % 16 or not 32 <= int(side) <= 1024 for side in match.groups()):
            raise ValueError("expected HEIGHTxWIDTH in pixels, multiples of 16 from 32 to 1024, e.g. 256x192")
        return str(size)

    @field_validator("dataset_index")
    @classmethod
    def _coco_only(cls, index: int) -> int:
        if index != 0:
            raise ValueError(
                "expected 0 (COCO): the published ViTPose+ checkpoints carry COCO's head alone, and another data set's "
                "expert before it gives garbage"
            )
        return index

    @property
    def input_width_height(self) -> tuple[int, int] | None:
        """`input_size` in pixels; None where the checkpoint's own is meant."""
        if self.input_size is None:
            return None
        height, width = self.input_size.split("x")
        return int(width), int(height)


class SmoothingConfig(_Section):
    """Keypoint smoothing; a person's size is the longer side of the box."""

    method: Literal["one-euro", "kalman", "none"] = Field("kalman", description="one-euro, kalman or none")
    min_score: Score = Field(0.3, description="a keypoint below this score is held, not followed")
    reset_s: float = Field(0.5, gt=0.0, description="a keypoint unseen for longer starts afresh")
    predict_ms: float | Literal["age"] = Field(
        0.0, description="publish where keypoints will be so many ms later; age: where they are by now; 0: where seen"
    )
    min_cutoff_hz: float = Field(1.0, gt=0.0, description="One-Euro: cutoff at rest; lower is calmer")
    beta: float = Field(
        8.0,
        ge=0.0,
        description="One-Euro: cutoff gained per speed, in Hz per (person size per second); higher lags less",
    )
    derivative_cutoff_hz: float = Field(1.0, gt=0.0, description="One-Euro: cutoff of the speed estimate")
    acceleration: float = Field(
        1.5, gt=0.0, description="Kalman: how hard people at rest accelerate, in person sizes per second squared"
    )
    agility: float = Field(
        8.0, ge=0.0, description="Kalman: how much harder those accelerate who move, per second; higher lags less"
    )
    gate: float = Field(
        1.0, gt=0.0, description="Kalman: from so many standard deviations off, a measurement counts for less"
    )
    noise: float = Field(0.015, gt=0.0, description="Kalman: keypoint noise, standard deviation in person sizes")

    @field_validator("predict_ms", mode="before")
    @classmethod
    def _not_far(cls, ms: object) -> object:
        try:
            known = ms == "age" or 0.0 <= float(str(ms)) <= 500.0
        except ValueError:
            known = False
        if not known:
            raise ValueError("expected age or 0..500 ms: beyond that people have changed their minds")
        return ms

    @model_validator(mode="after")
    def _predicts_by_speed(self) -> SmoothingConfig:
        if self.method != "kalman" and self.predict_ms != 0.0:
            raise ValueError(f"predict_ms: got {self.predict_ms} with {self.method}, expected kalman: it knows speeds")
        return self


class LatencyConfig(_Section):
    """What bounds the age of what is published."""

    frames_in_flight: int = Field(3, ge=1, le=16, description="frames of one camera between the door and the publisher")
    max_age_ms: float = Field(500.0, gt=0.0, description="a live frame older than this is not begun")
    target_ms: float | None = Field(
        None,
        ge=10.0,
        description="live: publish no later than this after the capture, by computing less where it must be; null: off",
    )
    means: list[Means] = Field(
        ["cadence", "people", "size"],
        description="what target_ms may lower, in this order: cadence (detector.every, up to 3), people "
        "(pose.max_people, down to 3), size (detector.size, down to half)",
    )


class PublishConfig(_Section):
    """The ZeroMQ stream."""

    bind: list[str] = Field(["tcp://127.0.0.1:5555"], min_length=1, description="endpoints to publish on")
    encoding: Literal["msgpack", "json"] = Field("msgpack", description="payload encoding")
    raw_keypoints: bool = Field(False, description="publish the keypoints as they were before smoothing too")
    wait_for_subscribers: int = Field(0, ge=0, description="hold the first frame until so many subscribers listen")
    curve_secret: Path | None = Field(
        None, description="secret key of this publisher (python -m realtime.keys): the stream is encrypted"
    )
    curve_clients: Path | None = Field(
        None, description="folder of the public keys that may read; null: clients, beside curve_secret"
    )
    allow_insecure: bool = Field(False, description="let anyone on the network read the stream (binds beyond loopback)")

    @field_validator("bind", mode="before")
    @classmethod
    def _one(cls, bind: object) -> object:
        return [bind] if isinstance(bind, str) else bind

    @field_validator("bind")
    @classmethod
    def _endpoints(cls, bind: list[str]) -> list[str]:
        for endpoint in bind:
            _check_endpoint(endpoint)
        if len(set(bind)) < len(bind):
            raise ValueError("expected each endpoint once")
        return bind

    @model_validator(mode="after")
    def _loopback(self) -> PublishConfig:
        for endpoint in self.bind:
            if not (self.allow_insecure or self.curve_secret or _is_local(endpoint)):
                raise ValueError(
                    f"{endpoint} can be read by anyone on the network: bind to 127.0.0.1, give keys with "
                    "--publish.curve-secret, or say --publish.allow-insecure to accept that"
                )
        if self.curve_clients is not None and self.curve_secret is None:
            raise ValueError("curve_clients: expected curve_secret too: without it everybody may read")
        return self

    @property
    def clients(self) -> Path | None:
        """The folder of the public keys that may read; None where everybody may."""
        return self.curve_clients or (self.curve_secret.parent / "clients" if self.curve_secret else None)


class AppConfig(_Section):
    """Everything that a run can be told."""

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$", description="auto, cpu, cuda, cuda:N or mps")
    cameras: list[CameraConfig] = Field([], description="the cameras; --source replaces them")
    realtime: bool = Field(False, description="pace files like a live camera: the newest frame wins")
    loop: bool = Field(False, description="begin a file again at its end")
    max_frames: int | None = Field(None, ge=1, description="stop a camera after so many frames")
    fail_fast: bool = Field(False, description="end the run when a network camera can't be opened at its start")
    detector: DetectorConfig = DetectorConfig()
    tracker: TrackerConfig = TrackerConfig()
    pose: PoseConfig = PoseConfig()
    smoothing: SmoothingConfig = SmoothingConfig()
    latency: LatencyConfig = LatencyConfig()
    publish: PublishConfig = PublishConfig()
    record: Path | None = Field(None, description="write every pose message to this .jsonl file")
    report: Path | None = Field(None, description="write a run report (JSON) to this file")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe log line shown")
    log_format: Literal["text", "json"] = Field("text", description="log lines for people or for machines")

    @field_validator("record")
    @classmethod
    def _jsonl(cls, record: Path | None) -> Path | None:
        if record is not None and record.suffix != ".jsonl":
            raise ValueError("expected a file name that ends in .jsonl")
        return record

    @model_validator(mode="after")
    def _consistent(self) -> AppConfig:
        names = [camera.name for camera in self.cameras]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"cameras: two cameras are called {twice[0]!r}, expected different names")
        if self.detector.min_score > self.tracker.low_score:
            raise ValueError(
                f"detector.min_score: got {self.detector.min_score}, expected at most tracker.low_score "
                f"({self.tracker.low_score}): the detector would hide the weak detections that ByteTrack lives on"
            )
        if self.tracker.low_score > self.tracker.track_score:
            raise ValueError(
                f"tracker.low_score: got {self.tracker.low_score}, expected at most tracker.track_score "
                f"({self.tracker.track_score})"
            )
        return self


def changes(before: AppConfig, after: AppConfig) -> list[str]:
    """The dotted names of the keys that differ."""
    return [key for key, _, _ in leaves() if attrgetter(key)(before) != attrgetter(key)(after)]


# ---- reading it: files < environment < flags


def leaves(model: type[BaseModel] = AppConfig, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every key as (dotted name, type annotation, description), in the order of declaration."""
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", kind, info.description or ""


def is_repeatable(kind: object) -> bool:
    """Whether a key of this kind is a list of plain values, not of sections: its flag may be given several times."""
    return get_origin(kind) is list and kind != list[CameraConfig]


def load(
    files: Sequence[Path] = (), environment: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> AppConfig:
    """Resolve the configuration.

    Args:
        files: YAML files; later ones win, key by key.
        environment: variables; those that begin with REALTIME_ count, "__" separates the levels. The process's own by
            default.
        flags: dotted key to text, a list of texts or plain data. They win over all.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: a file is missing or unreadable, a key is unknown, a value is wrong. Names the key and its origin.
    """
    environment = os.environ if environment is None else environment
    keys = {name: kind for name, kind, _ in leaves()}
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for path in files:
        for key, value in _read_yaml(path, keys):
            values[key], origins[key] = value, str(path)
    for variable in sorted(environment):
        if variable.startswith(ENV_PREFIX):
            key = variable.removeprefix(ENV_PREFIX).lower().replace("__", ".")
            if key not in keys:
                raise ConfigError(f"environment: unknown key {variable}{_near(key, keys, _variable)}")
            values[key], origins[key] = _from_text(keys[key], environment[variable], variable), variable
    for key, value in (flags or {}).items():
        values[key] = _from_text(keys[key], value, _flag(key)) if isinstance(value, str) else value
        origins[key] = "--source" if key == "cameras" and not isinstance(value, str) else _flag(key)
    try:
        return AppConfig.model_validate(_nest(values), context=environment)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins)) from None


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Our folder in the user's cache: model files by name, and what was learnt of the hub."""
    environment = os.environ if environment is None else environment
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "realtime-pose"


def to_yaml(config: AppConfig) -> str:
    """The configuration as YAML that can be read back, with passwords and tokens replaced by ***."""
    data = config.model_dump(mode="json")
    for camera in data["cameras"]:
        camera["source"] = shown(camera["source"])
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def commented_yaml() -> str:
    """configs/default.yaml: every key with its default and what it means."""
    lines = [
        "# Every key with its default: what you leave out stays as it is here. Written by `python -m realtime.config`.",
        "# Each is also a flag (--pose.model) and an environment variable (REALTIME_POSE__MODEL).",
        "# Order: defaults < files (--config, repeatable) < environment < flags.",
    ]
    for name, info in AppConfig.model_fields.items():
        if isinstance(info.default, _Section):
            lines += ["", f"{name}:  # {(type(info.default).__doc__ or '').strip()}"]
            lines += [
                line for key, field in type(info.default).model_fields.items() for line in _line(key, field, "  ")
            ]
        else:
            lines += _line(name, info, "")
        if name == "cameras":
            lines += _camera_lines()
    return "\n".join(lines) + "\n"


def _camera_lines() -> list[str]:
    """Every key of a camera, as a comment: there is none by default."""
    lines = ["#", "# - name: door", "#   source: rtsp://10.0.0.5/stream1", "#"]
    for key, info in CameraConfig.model_fields.items():
        if not info.is_required():
            value = yaml.safe_dump(info.default, default_flow_style=True).removesuffix("\n...\n").strip()
            lines += [f"#   {key}: {value} # {info.description}"]
    return lines


def _line(key: str, info: FieldInfo, indent: str) -> list[str]:
    value = yaml.safe_dump(info.default, default_flow_style=True).removesuffix("\n...\n").strip()
    return [f"{indent}# {info.description}", f"{indent}{key}: {value}"]


def parse_source(text: str, position: int) -> dict[str, str]:
    """`[NAME=]SRC` of --source as a camera: {"name", "source"}.

    Args:
        text: the flag's value, taken whole.
        position: of this --source among all, from 0: an unnamed one is called cam<position>.

    Raises:
        ConfigError: the name has other characters than letters, digits, _ and -, or the source is empty.
    """
    name, equals, source = text.partition("=")
    if not equals or re.search(r"[/\\:?]", name):
        name, source = f"cam{position}", text
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ConfigError(f"--source: got the name {name!r}, expected letters, digits, _ and - before the =")
    if not source:
        raise ConfigError(f"--source: {name} has no source, expected NAME=SRC (webcam number, path, URL or demo)")
    return {"name": name, "source": source}


class _Yaml(yaml.SafeLoader):
    """YAML in which a key stands once: of two the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As SafeLoader's.

        Raises:
            ConstructorError: a key stands twice.
        """
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} stands twice", key.start_mark)
            seen.update([key.value] if isinstance(key.value, str) else [])
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path, keys: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The file's (dotted key, value) pairs."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Yaml)  # noqa: S506 - a safe one
    except FileNotFoundError:
        raise ConfigError(f"--config: no such file: {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"--config: can't read {path}: {reason}") from None
    except RecursionError:
        raise ConfigError(f"--config: {path}: nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(
            f"--config: {path}{where}: not valid YAML: {getattr(error, 'problem', 'unreadable')}"
        ) from None
    if data is None:
        return
    if not isinstance(data, dict):
        raise ConfigError(f"--config: {path}: expected keys and values, got a {type(data).__name__}")
    yield from _flatten(data, "", keys, path)


def _flatten(
    data: Mapping[object, object], prefix: str, keys: Mapping[str, object], path: Path
) -> Iterator[tuple[str, object]]:
    sections = {key.partition(".")[0] for key in keys if "." in key}
    for name, value in data.items():
        key = f"{prefix}{name}"
        if key in sections and (value is None or isinstance(value, dict)):
            yield from _flatten(value or {}, f"{key}.", keys, path)
        elif key in keys:
            yield key, value
        elif key in sections:
            raise ConfigError(f"{path}: {key}: expected keys and values below it, got a {type(value).__name__}")
        else:
            raise ConfigError(f"{path}: unknown key {key}{_near(key, keys, str)}")


def _from_text(kind: object, text: str, origin: str) -> object:
    """A flag's or variable's text as data for this key. Lists of sections are written in YAML; all else is whole."""
    if get_origin(kind) is list:
        if is_repeatable(kind) and not text.startswith("["):
            return [text]
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"{origin}: expected a YAML list") from None
    if text == "" and type(None) in get_args(kind):
        return None
    return text


def _nest(values: Mapping[str, object]) -> dict[str, object]:
    nested: dict[str, object] = {}
    for key, value in values.items():
        section, dot, name = key.partition(".")
        if dot:
            inner = nested.setdefault(section, {})
            assert isinstance(inner, dict)
            inner[name] = value
        else:
            nested[key] = value
    return nested


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    """The first mistake as one line. The value itself is shown only where it can't be a secret."""
    # An unknown key first: it often is the one that is missing.
    problem = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    origin = next((origins[k] for k in (key, ".".join(location[:2]), *location[:1]) if k in origins), "")
    message = problem["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    got = problem["input"]
    is_secret = location[:1] == ["cameras"] and location[-1] not in CameraConfig.model_fields.keys() - {"source"}
    shown = f"got {got!r}, " if isinstance(got, str | int | float | bool) and not is_secret else ""
    if problem["type"] == "value_error" and "got " in message:
        shown = ""
    if problem["type"] == "extra_forbidden":
        keys = CameraConfig.model_fields  # all others were looked at before
        near = difflib.get_close_matches(location[-1], keys, n=1)
        advice = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(keys)}"
        shown, message = "", f"unknown key, {advice}"
    elif problem["type"] == "string_pattern_mismatch" and location[0] == "cameras":
        message = f"expected {CameraConfig.model_fields[location[-1]].description}"
    else:
        message = _IN_OUR_WORDS.get(problem["type"], message)
    where = f" (from {origin})" if origin and origin != _flag(key) else ""
    return redact(f"{key + ': ' if key else ''}{shown}{message}{where}")


# What pydantic says of kinds, for people who don't write Python.
_IN_OUR_WORDS = {
    "missing": "expected it, it is not there",
    "model_type": "expected keys and values: name, source",
    "list_type": "expected a list",
    "path_type": "expected a path",
    "string_type": "expected text",
}


def _near(key: str, keys: Mapping[str, object], spell: Callable[[str], str]) -> str:
    close = difflib.get_close_matches(key, list(keys), n=1)
    return f", did you mean {spell(close[0])}?" if close else ", see --help for all keys"


def _variable(key: str) -> str:
    return ENV_PREFIX + key.upper().replace(".", "__")


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-")


if __name__ == "__main__":
    sys.stdout.write(commented_yaml())
