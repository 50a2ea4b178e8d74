"""Every key of the configuration except those of a camera, with its meaning, its default and its limits.

Each class is a section, which one stage or part of the program receives.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, PlainSerializer, PlainValidator, field_validator, model_validator

from realtime.config.camera import ActivityMode, CameraConfig
from realtime.config.publish import PublishConfig
from realtime.config.texts import FilePath, FileText, Section
from realtime.printable import printable
from realtime.redact import shown
from realtime.wire.endpoints import is_host_name, is_web_url, parse_address

TrackerMethod = Literal["bytetrack", "ocsort", "botsort", "boosttrack", "sfsort"]
Score = Annotated[float, Field(ge=0.0, le=1.0)]
# No machine can decode this many. Each camera takes a thread and several open files.
MOST_CAMERAS = 1000
Lever = Literal["cadence", "people", "size"]


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
            raise ValueError(
                f"reid: got {printable(str(self.reid))} with {self.method}, expected botsort or boosttrack"
            )
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


class ActivityConfig(Section):
    """CPU use follows the scene: a camera is active, still (people, but no motion near them) or empty."""

    mode: ActivityMode = Field(
        "auto", description="watch for motion and compute less without it; auto: on for live sources, off for files"
    )
    empty_s: float = Field(
        10.0, gt=0.0, le=3600.0, description="a camera counts as empty after this long without people and motion (s)"
    )
    look_s: float = Field(
        5.0, ge=0.1, le=3600.0, description="empty: run the detector at least this often (s), and at once on motion"
    )
    pose_s: float = Field(
        5.0,
        ge=0.1,
        le=3600.0,
        description="measure the pose of a still person again after this long (s), and at once when they move",
    )


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
    activity: ActivityConfig = ActivityConfig()
    publish: PublishConfig = PublishConfig()
    record: FilePath | None = Field(
        None, description="write every pose message to this .jsonl file, one per line; an earlier one is renamed"
    )
    report: FilePath | None = Field(
        None, description="write a run report (JSON) to this file; it replaces an earlier report and nothing else"
    )
    save_video: FilePath | None = Field(
        None,
        description="write the frames with their skeletons to this .mp4 file; {camera} in the path stands for the name "
        "of the camera; an earlier video is renamed",
    )
    preview: bool = Field(False, description="show the frames with their skeletons in a window")
    web: str | None = Field(
        None, title="[HOST:]PORT", description="serve a live page on this address; the default host is 127.0.0.1"
    )
    web_token_file: FilePath | None = Field(
        None,
        description="file with the token that viewers of the page enter: at least 16 characters, mode 0600; needed "
        "beyond loopback",
    )
    web_allow_insecure: bool = Field(
        False, description="serve the page beyond loopback without a token: anyone on the network can watch"
    )
    web_pictures: bool = Field(
        True, description="show pictures on the page; false: skeletons only, and no picture leaves the pipeline"
    )
    web_lost_s: float = Field(
        30.0,
        gt=0.0,
        le=1e6,
        description="/healthz reports a fault when a camera has been lost for longer than this (s)",
    )
    web_source_url: str | None = Field(
        None, title="URL", description="where users of the page can get its source code; shown as a link on the page"
    )
    web_hosts: list[str] = Field(
        [],
        title="NAME",
        description="host names of the page besides addresses and localhost, for example behind a reverse proxy",
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

    @field_validator("save_video")
    @classmethod
    def _mp4(cls, video: Path | None) -> Path | None:
        if video is not None and video.suffix.lower() != ".mp4":
            raise ValueError("expected a file name that ends in .mp4")
        return video

    @field_validator("web")
    @classmethod
    def _address(cls, web: str | None) -> str | None:
        parsed = None if web is None else parse_address(web)
        if web is not None and (parsed is None or not parsed.can_connect):
            raise ValueError("expected HOST:PORT or a port, 1..65535")
        return web

    @field_validator("web_source_url")
    @classmethod
    def _url(cls, url: str | None) -> str | None:
        if url is not None and not is_web_url(url):
            raise ValueError("expected an http:// or https:// URL without spaces, quotes, < and >")
        return url

    @field_validator("web_hosts", mode="before")
    @classmethod
    def _one_host(cls, hosts: object) -> object:
        return [hosts] if isinstance(hosts, str) else hosts

    @field_validator("web_hosts")
    @classmethod
    def _names(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            if not is_host_name(host):
                raise ValueError(f"got {shown(host)!r}, expected a name without scheme and port: cams.example.org")
        return hosts

    @model_validator(mode="after")
    def _page_is_closed(self) -> AppConfig:
        parsed = parse_address(self.web) if self.web else None
        if parsed and not (parsed.is_local or self.web_allow_insecure or self.web_token_file):
            raise ValueError(
                f"web: anyone on the network could watch {self.web}: bind to 127.0.0.1, set a token with "
                "--web-token-file, or accept it with --web-allow-insecure"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> AppConfig:
        names = [camera.name for camera in self.cameras]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise ValueError(f"cameras: got two cameras with the name {twice[0]!r}, expected different names")
        if self.save_video is not None and len(names) > 1 and "{camera}" not in str(self.save_video):
            raise ValueError(
                f"save_video: got {self.save_video} for {len(names)} cameras, expected a path with {{camera}}, which "
                "stands for the name of each"
            )
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
