"""The keys of what finds and follows people: the detector, the tracker, the pose model and the keypoint filters.

Each class is a section, which the stage of this name receives.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, field_validator, model_validator

from realtime.config.texts import FilePath, FileText, Section
from realtime.printable import printable

SkeletonName = Literal[
    "auto", "coco17", "aic14", "mpii16", "ap10k", "apt36k", "wholebody133", "coco25", "crowdpose14", "posetrack18"
]
PartName = Literal["body", "feet", "hands", "face"]
TrackerMethod = Literal["bytetrack", "boxmot-bytetrack", "ocsort", "botsort", "boosttrack", "sfsort"]
Score = Annotated[float, Field(ge=0.0, le=1.0)]
Engine = Annotated[
    Literal["auto", "torch", "openvino"],
    Field(description="inference engine: torch runs anywhere, openvino on a CPU; auto picks the faster one"),
]


def _class_name(value: object) -> object:
    """Keep a number as text, because only the detector's own names tell whether it is one."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return value
    text = str(value).strip()
    if not text or re.fullmatch(r"-\d+", text):
        raise ValueError("expected the name of a class, or its number from 0")
    return text


class DetectorConfig(Section):
    """Detection of people, or of other classes."""

    weights: FileText = Field(
        "auto",
        min_length=1,
        title="NAME|FILE",
        description="auto, an ultralytics model by name (yolo11n, yolov8s, ...) or the path of a .pt file; such a file "
        "can contain code, so use only those of people you trust",
    )
    engine: Engine = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="numeric precision; auto picks the fastest one that the hardware supports natively; on a CPU, the "
        "first start measures it",
    )
    size: int = Field(640, ge=32, le=4096, description="longer side of the detector's input (pixels), a multiple of 32")
    every: int = Field(
        1, ge=1, le=100, description="run the detector on every Nth frame; boxes are extrapolated in between"
    )
    classes: list[Annotated[str, BeforeValidator(_class_name)]] = Field(
        ["person"],
        min_length=1,
        title="NAME|NUMBER",
        description="look for these classes only; their names, or their numbers among the detector's classes",
    )
    min_score: Score = Field(0.1, description="discard detections with a lower score")
    nms_iou: Score = Field(0.7, description="of two boxes that overlap more than this (IoU), keep the better one")

    @field_validator("size")
    @classmethod
    def _whole_strides(cls, size: int) -> int:
        if size % 32:
            raise ValueError("expected a multiple of 32 (the detector's stride)")
        return size

    @field_validator("classes")
    @classmethod
    def _different(cls, classes: list[str]) -> list[str]:
        if len({name.casefold() for name in classes}) < len(classes):
            raise ValueError("got the same class twice, expected different ones")
        return classes


class TrackerConfig(Section):
    """Association of detections into tracks."""

    method: TrackerMethod = Field(
        "bytetrack",
        description="tracking method; bytetrack is our own, the others are boxmot's; botsort and boosttrack compare "
        "images to follow the camera's motion",
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
    evidence: float = Field(
        1.6,
        ge=0.0,
        le=100.0,
        description="bytetrack: publish a newcomer when the scores of their detections add up to this (at 0.8 each: "
        "with the second one); people in the first frame or in a new scene are published at once; 0: everyone is",
    )
    buffer_s: float = Field(2.0, ge=0.0, le=600.0, description="how long the identity of a lost person is kept (s)")
    relink_s: float = Field(
        10.0,
        ge=0.0,
        le=60.0,
        description="how long after a person was last seen they can be re-identified, by pose (at most 3 s) or by the "
        "colours of their clothes (s); 0 disables it, and corrections of swapped ids",
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
        description="auto, a ViTPose checkpoint by its name, its Hugging Face folder or its .pth or .safetensors file, "
        "yolo11n-pose, the path of a YOLO pose .pt file (which can contain code: use only those of people you trust), "
        "detector (the detector's own keypoints) or none",
    )
    engine: Engine = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        "auto",
        description="numeric precision; auto picks the fastest one, of 16 bits or more, that the hardware supports "
        "natively; on a CPU, the first start measures it",
    )
    self_test: Literal["stop", "warn"] = Field(
        "stop", description="what to do if the engine fails the startup comparison with fp32 and there is no fallback"
    )
    input_size: Annotated[InputSize, PlainValidator(_input_size), PlainSerializer(str)] | None = Field(
        None,
        title="HEIGHTxWIDTH",
        description="input size of ViTPose: 384x288 for detail, 192x144 for speed, ...; unset: as trained",
    )
    skeleton: SkeletonName = Field(
        "auto",
        description="keypoint set: which head of a ViTPose file with several, or what the keypoints of one are if the "
        "file doesn't say so; auto: what the file or the folder's config.json says",
    )
    keypoints: list[PartName] = Field(
        ["body", "feet", "hands", "face"],
        min_length=1,
        description="publish the keypoints of these parts of the body only",
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

    @field_validator("keypoints")
    @classmethod
    def _different(cls, parts: list[PartName]) -> list[PartName]:
        if len(set(parts)) < len(parts):
            raise ValueError("got the same part twice, expected different ones")
        return parts

    @model_validator(mode="after")
    def _has_a_head(self) -> PoseConfig:
        if self.model in ("none", "detector") and self.skeleton != "auto":
            raise ValueError(f"skeleton: got {self.skeleton} with pose.model {self.model}, expected a ViTPose model")
        return self


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
