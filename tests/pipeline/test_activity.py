"""Runs with a motion gate, whose detector finds dark shapes in drawn pictures: what goes out in each state."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from realtime import pipeline
from realtime.capture import open as opening
from realtime.capture.source import Picture, Pixels
from realtime.config import AppConfig, CameraConfig, load
from realtime.detect.stage import DetectStage
from realtime.loading import Models
from realtime.pose.passthrough import PassThrough
from realtime.skeleton import NO_SKELETON
from realtime.track.stage import TrackStage
from realtime.types import Detections, Frame
from tests.capture.rig import ScriptedSource
from tests.detect.test_stage import Net

FPS = 10
# A part of a script: for how long (s), and where people stand (x), at first and at its end.
Part = tuple[float, Sequence[tuple[float, float]]]
EMPTY_ROOM: Part = (14.0, [])


def draw(people: Sequence[float]) -> np.ndarray:
    image = np.full((120, 160, 3), 150, np.uint8)
    for x in people:
        image[40:100, round(x) : round(x) + 24] = 20
    return image


def pictures(script: Sequence[Part]) -> list[Picture]:
    drawn: list[Picture] = []
    for seconds, people in script:
        steps = round(seconds * FPS)
        for step in range(steps):
            image = draw([first + (last - first) * step / steps for first, last in people])
            drawn.append(Picture(Pixels(image), len(drawn) / FPS))
    return drawn


class FindsDarkShapes(DetectStage):
    """Finds each dark shape. With `flickers`, only in every second run."""

    def __init__(self, config: AppConfig, flickers: bool) -> None:
        super().__init__(config.detector, Net())  # type: ignore[arg-type]  # the network isn't used
        self.looked_s: dict[str, list[float]] = defaultdict(list)
        self._flickers = flickers

    def _look(self, batch: list[Frame]) -> list[Detections]:
        return [self._find(frame) for frame in batch]

    def _find(self, frame: Frame) -> Detections:
        looks = self.looked_s[frame.camera]
        looks.append(frame.time_s)
        dark = np.pad(frame.image[70, :, 0] < 80, 1)
        edges = np.flatnonzero(dark[1:] != dark[:-1]).reshape(-1, 2)
        edges = edges[:0] if self._flickers and len(looks) % 2 else edges
        xyxy = np.array([[x1, 40, x2, 100] for x1, x2 in edges], np.float32).reshape(-1, 4)
        return Detections(frame, xyxy, np.full(len(xyxy), 0.9, np.float32))


class Ran:
    """The result of a run: lines of the recording, by camera, the final states, and when the detector ran (s)."""

    def __init__(
        self, tmp_path: Path, patch: pytest.MonkeyPatch, scripts: dict[str, Sequence[Part]], **keys: Any
    ) -> None:
        flickers = keys.pop("flickers", False)
        cameras = [{"name": name, "source": f"http://{name}/"} for name in scripts]
        flags = {"cameras": cameras, "activity.mode": "on", "publish.bind": [f"ipc://{tmp_path}/s"], **keys}
        config = load(environment={}, flags=flags | {"record": str(tmp_path / "x.jsonl")})
        detect = FindsDarkShapes(config, flickers)
        models = Models(
            torch.device("cpu"), "fake", "none", detect, TrackStage(config.tracker), PassThrough(NO_SKELETON), 1
        )
        patch.setattr(pipeline, "load_models", lambda config, is_tuned: models)

        def open_fake(config: CameraConfig, stop: object = None) -> ScriptedSource:
            return ScriptedSource(*pictures(scripts[config.name]), fps=FPS, size=(160, 120))

        patch.setattr(opening, "open_source", open_fake)
        run = pipeline.Pipeline(config)
        run.run()
        self.status, self.looked_s = run.status, detect.looked_s
        self.lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for text in (tmp_path / "x.jsonl").read_text().splitlines():
            self.lines[(line := json.loads(text))["camera"]].append(line)

    def between(self, first_s: float, last_s: float, camera: str = "a") -> list[dict[str, Any]]:
        return [line for line in self.lines[camera] if first_s <= line["media_s"] < last_s]

    def looks(self, first_s: float, last_s: float, camera: str = "a") -> int:
        return sum(first_s <= time_s < last_s for time_s in self.looked_s[camera])


def test_a_person_who_sits_is_published_in_every_frame_under_one_id_and_looked_at_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = Ran(tmp_path, monkeypatch, {"a": [(3.0, []), (2.0, [(0, 60)]), (40.0, [(60, 60)]), (2.0, [(60, 100)])]})
    assert [line["frame"] for line in ran.lines["a"]] == list(range(470))
    assert {tuple(line["track_ids"]) for line in ran.lines["a"] if line["frame"] > 32} == {(1,)}
    # The gate needs a while to take someone who sits for a part of the room.
    sits = ran.between(25, 45)
    assert {line["boxes"][0][0] for line in sits} == {60.0}
    assert 19 <= ran.looks(25, 45) <= 24
    assert ran.looks(45, 47) >= 19  # at once when they get up


def test_an_empty_room_sends_once_a_second_and_the_frame_in_which_someone_enters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = Ran(tmp_path, monkeypatch, {"a": [(3.0, []), (3.0, [(0, 130)]), (34.0, []), (2.0, [(0, 60)])]})
    quiet = ran.between(25, 40)
    assert 14 <= len(quiet) <= 18
    assert {len(line["track_ids"]) for line in quiet} == {0}
    assert 2 <= ran.looks(25, 40) <= 4
    back = ran.between(40, 42)
    assert [line["frame"] for line in back] == list(range(400, 420))
    assert [bool(line["track_ids"]) for line in back] == [False] + [True] * 19  # as without a gate: two detections
    status = ran.status["a"]
    assert set(status.drops) == {"idle"}
    assert status.captured == status.published + status.dropped == 420
    assert [line["seq"] for line in ran.lines["a"]] == list(range(status.published))


def test_two_cameras_do_not_influence_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walks = [(7.0, [(0, 130)]), (7.0, [(130, 0)])] * 2
    ran = Ran(tmp_path, monkeypatch, {"a": [EMPTY_ROOM, EMPTY_ROOM], "b": walks})
    assert len(ran.lines["b"]) == ran.looks(0, 99, "b") == 280
    assert len(ran.between(18, 28)) <= 12
    assert ran.looks(18, 28) <= 3


def test_a_person_whose_detection_flickers_is_published_as_often_as_without_a_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = {"a": [(1.0, [(30, 60)]), (20.0, [(60, 60)])]}
    shown = {}
    for mode in ("on", "off"):
        (folder := tmp_path / mode).mkdir()
        ran = Ran(folder, monkeypatch, script, **{"flickers": True, "activity.mode": mode, "tracker.method": "ocsort"})
        shown[mode] = sum(bool(line["track_ids"]) for line in ran.lines["a"])
    assert shown["on"] >= shown["off"] > 50


def test_someone_appears_without_motion_while_another_sits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hides = [[(0, 0), (50, 0), (50, 120), (0, 120)]]
    scripts = {"a": [(1.0, [(90, 100)]), (9.0, [(100, 100)]), (5.0, [(10, 10), (100, 100)])]}
    patched = {"name": "a", "source": "http://a/", "mask": hides}
    ran = Ran(tmp_path, monkeypatch, scripts, **{"cameras": [patched]})
    counts = [len(line["track_ids"]) for line in ran.between(10, 15)]
    assert counts.index(2) <= 12  # a look within a second, and the next frame confirms it
    assert set(counts[counts.index(2) :]) == {2}


def test_the_detector_s_rhythm_holds_with_a_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walks = [(7.0, [(0, 130)]), (7.0, [(130, 0)])]
    ran = Ran(tmp_path, monkeypatch, {"a": walks}, **{"detector.every": 5})
    assert len(ran.lines["a"]) == 140
    assert 28 <= ran.looks(0, 99) <= 30


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_files_are_published_completely_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    ran = Ran(tmp_path, monkeypatch, {"a": [EMPTY_ROOM]}, **{"activity.mode": mode})
    assert len(ran.lines["a"]) == ran.looks(0, 99) == 140
    assert ran.status["a"].dropped == 0


def test_the_demo_is_published_completely_with_a_gate(tmp_path: Path, yolov8n: Path) -> None:
    record = tmp_path / "x.jsonl"
    flags = {"cameras": [{"name": "a", "source": "demo"}], "activity.mode": "on", "detector.size": "320"}
    flags |= {"pose.model": "none", "publish.bind": [f"ipc://{tmp_path}/s"], "record": str(record)}
    pipeline.Pipeline(load(environment={}, flags=flags | {"max_frames": "60"})).run()
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(60))
    assert min(len(line["track_ids"]) for line in lines) >= 3


def test_max_frames_counts_frames_that_did_not_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = Ran(tmp_path, monkeypatch, {"a": [EMPTY_ROOM, EMPTY_ROOM]}, max_frames=150)
    assert ran.status["a"].captured == 150
    assert ran.status["a"].published < 150
