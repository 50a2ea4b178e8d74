"""The configuration of a run: its own keys, those of activity and latency, and all other sections.

Each class is a section, which one stage or part of the program receives.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from realtime.config.camera import ActivityMode, CameraConfig
from realtime.config.models import DetectorConfig, PoseConfig, SmoothingConfig, TrackerConfig
from realtime.config.publish import PublishConfig
from realtime.config.texts import FilePath, Section
from realtime.redact import shown
from realtime.wire.endpoints import is_host_name, is_web_url, parse_address

# No machine can decode this many. Each camera takes a thread and several open files.
MOST_CAMERAS = 1000
Lever = Literal["cadence", "people", "size"]
# The files of the folder `presets`.
Preset = Literal["fast", "balanced", "accurate"]


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


class RecordingConfig(Section):
    """The files of a recording (`record`)."""

    segment_s: float | None = Field(
        None,
        ge=1.0,
        le=1e9,
        description="split the recording into files of this length (s), named by their last write: "
        "x-20261128T134500Z.jsonl; unset: one file",
    )
    keep_gb: float | None = Field(
        None,
        gt=0.0,
        le=1e9,
        description="delete the oldest files of this recording, also those of earlier runs, so that all together take "
        "at most this much (10^9 bytes); a file then also ends at a tenth of it; unset: keep all",
    )


class AppConfig(Section):
    """The whole configuration of a run."""

    preset: Preset | None = Field(
        None,
        description="a set of keys, which files, environment and flags override: fast (the detector's own keypoints), "
        "balanced (the defaults) or accurate (the largest models on this machine); --print-config shows the keys",
    )
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
        None,
        description="write every pose message to this file: .jsonl (a line for each) or .parquet (a row for each "
        "person, and x.frames.parquet with a row for each message); an earlier recording is renamed",
    )
    recording: RecordingConfig = RecordingConfig()
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
    log_format: Literal["text", "json"] = Field(
        "text", description="format of the log lines; text shows bars on a terminal"
    )

    @field_validator("record")
    @classmethod
    def _format(cls, record: Path | None) -> Path | None:
        if record is not None and record.suffix not in (".jsonl", ".parquet"):
            raise ValueError("expected a file name that ends in .jsonl or .parquet")
        if record is not None and record.name.endswith(".frames.parquet"):
            raise ValueError("expected a name without .frames: x.parquet gets a second file, x.frames.parquet")
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
