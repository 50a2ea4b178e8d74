"""The loops that our program is compared with, each in its own process.

`compare` starts them with `python -m realtime.evaluate.speed.loops LOOP SCENE RESULT`. Each loop processes one frame
after the other, as a user of these libraries would write it:

    track             ultralytics' YOLO.track with its ByteTrack, on all cores
    track-as-shipped  the same with the number of threads that ultralytics sets
    sequential        YOLO.predict, boxmot's ByteTrack, Hugging Face's ViTPose in fp32, ZeroMQ
    sequential-half   the same with both networks in fp16, on a CUDA device
    engines           our own stages, called one after the other
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
import zmq
from numpy.typing import NDArray

from realtime import wire
from realtime.boxes import iou
from realtime.config import load
from realtime.evaluate.speed.runs import LOW_SCORE, MATCH_IOU, MIN_SCORE, NMS_IOU, SIZE, TRACK_SCORE, Run, Scene
from realtime.evaluate.speed.videos import Shot, every, newest
from realtime.runtime.core_budget import all_cores
from realtime.runtime.device import resolve_device
from realtime.types import Frame

Boxes = NDArray[np.float32]
Step = Callable[[Shot], Boxes]


def shots(scene: Scene) -> Iterator[Shot]:
    """Return the frames of a scene: all frames, or the newest ones of a live source."""
    return every(scene.video, scene.frames) if scene.fps is None else newest(scene.video, scene.frames, scene.fps)


def go(scene: Scene, engine: str, step: Step) -> Run:
    """Run a loop over all frames of a scene and return the results.

    Args:
        scene: the scene.
        engine: description of the inference engines.
        step: processes and publishes one frame, and returns the boxes of its people.
    """
    run, ends_s = Run(engine), _begin(scene)
    for shot in shots(scene):
        boxes = step(shot)
        run.add(shot.number, shot.captured_s, time.monotonic(), boxes)
        if time.monotonic() > ends_s:
            break
    return run


def _begin(scene: Scene) -> float:
    """Wait until the run may begin, and return when it has to end (time.monotonic(), infinity: at the last frame)."""
    if not scene.held:
        return math.inf
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    return float(sys.stdin.readline()) + time.monotonic()


def _torch(precision: str, device: object) -> str:
    """Describe torch as an engine."""
    return f"torch {precision}, {torch.get_num_threads()} threads" + ("" if str(device) == "cpu" else f", {device}")


def _publisher(kind: int) -> zmq.Socket[bytes]:
    """Return a socket that is bound to a free port on 127.0.0.1."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.bind_to_random_port("tcp://127.0.0.1")
    return socket


# ---- ultralytics


def track(scene: Scene) -> Run:
    """YOLO.track, with torch on all cores."""
    return _track(scene, lambda: torch.set_num_threads(all_cores()))


def track_as_shipped(scene: Scene) -> Run:
    """YOLO.track as shipped, with torch on one thread fewer than the machine has cores (1 to 8)."""
    return _track(scene, lambda: None)


def _track(scene: Scene, set_threads: Callable[[], None]) -> Run:
    model, options = _yolo(scene), _detection(scene)
    detected = np.zeros((0, 4), np.float32)

    def look(predictor: Any) -> None:  # noqa: ANN401 - ultralytics ships no types
        nonlocal detected
        detected = _boxes_of(predictor.results[0])[:, :4]

    def people(result: Any) -> Boxes:  # noqa: ANN401 - ultralytics ships no types
        """Return the detections that the tracks match best, because the boxes of the tracks are filtered."""
        boxes = _boxes_of(result)[:, :4]
        return detected[iou(boxes, detected).argmax(axis=1)] if len(boxes) else boxes

    options |= {"tracker": "bytetrack.yaml"}
    model.add_callback("on_predict_postprocess_end", look)  # runs before the tracker's own callback
    # ultralytics resets the number of threads whenever it sets up a predictor, and the first `tracker` argument causes
    # another setup. Set the number at every start.
    model.add_callback("on_predict_start", lambda predictor: set_threads())
    model.track(np.zeros((SIZE, SIZE, 3), np.uint8), **options)
    engine = f"ultralytics, {_torch('fp32', options['device'])}"
    if scene.fps is not None:
        return go(scene, engine, lambda shot: people(model.track(shot.image, persist=True, **options)[0]))
    run, ends_s = Run(engine), _begin(scene)
    asked_s = time.monotonic()
    for index, result in enumerate(model.track(scene.video, stream=True, **options)):
        if index == scene.frames or asked_s > ends_s:
            break
        now_s = time.monotonic()
        # ultralytics does not report when a frame was read, so its age starts at the request for it.
        run.add(index, asked_s, now_s, people(result))
        asked_s = now_s
    return run


def _yolo(scene: Scene) -> Any:  # noqa: ANN401 - ultralytics ships no types
    # Keep ultralytics from installing packages, from using the network and from printing.
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    from ultralytics import YOLO

    return YOLO(scene.weights)


def _detection(scene: Scene) -> dict[str, object]:
    """Return the arguments of every ultralytics call."""
    return {
        "imgsz": SIZE,
        "conf": MIN_SCORE,
        "iou": NMS_IOU,
        "classes": [0],
        "device": str(resolve_device(scene.device)),
        "verbose": False,
    }


def _boxes_of(result: Any) -> Boxes:  # noqa: ANN401 - ultralytics ships no types
    """Return the boxes of one result: float32 (N, 6 or more), x1 y1 x2 y2 and further columns."""
    return np.asarray(result.boxes.data.cpu().numpy(), np.float32)


# ---- a plain loop


def sequential(scene: Scene) -> Run:
    """Detect, track, estimate poses and publish, one step after the other, in fp32 as the libraries are shipped."""
    return _sequential(scene, half=False)


def sequential_half(scene: Scene) -> Run:
    """The same with both networks in fp16. ultralytics ignores this setting on a CPU."""
    return _sequential(scene, half=True)


def _sequential(scene: Scene, half: bool) -> Run:
    from boxmot import ByteTrack

    model, options = _yolo(scene), _detection(scene)
    options |= _half() if half else {}
    tracker: Any = ByteTrack(min_conf=LOW_SCORE, track_thresh=TRACK_SCORE, match_thresh=1 - MATCH_IOU, track_buffer=30)
    pose = HuggingFacePose(scene, half) if scene.pose not in ("none", "detector") else None
    socket = _publisher(zmq.PUB)

    def step(shot: Shot) -> Boxes:
        result = model.predict(shot.image, **options)[0]
        found = _boxes_of(result)[:, :6]
        rows = np.asarray(tracker.update(found, shot.image), np.float32).reshape(-1, 8)
        keypoints: object = []
        if pose is not None and len(rows):
            keypoints = pose(shot.image, rows[:, :4])
        elif scene.pose == "detector":
            keypoints = result.keypoints.data.cpu().numpy()[rows[:, 7].astype(int)].tolist()
        message = {"frame": shot.number, "time": time.time(), "people": rows.tolist(), "keypoints": keypoints}
        socket.send_multipart((b"poses", msgspec.msgpack.encode(message)))
        return found[rows[:, 7].astype(int), :4]  # the detector's boxes, like ours; the tracker's are filtered

    grey = np.full((SIZE, SIZE, 3), 114, np.uint8)
    model.predict(grey, **options)
    torch.set_num_threads(all_cores())  # ultralytics has reduced the number of threads
    if pose is not None:
        pose(grey, np.array([[100, 100, 300, 500]], np.float32))
    return go(scene, f"ultralytics and Hugging Face, {_torch('fp16' if half else 'fp32', options['device'])}", step)


def _half() -> dict[str, object]:
    """Return ultralytics' argument for fp16: `half`, which newer versions replaced by `quantize`."""
    from ultralytics.cfg import DEFAULT_CFG_DICT

    return {"quantize": 16} if "quantize" in DEFAULT_CFG_DICT else {"half": True}


class HuggingFacePose:
    """Hugging Face's ViTPose: processor, network and post-processing.

    Args:
        scene: names the checkpoint and the device.
        half: run the network in fp16, otherwise in fp32.
    """

    def __init__(self, scene: Scene, half: bool) -> None:
        from transformers import VitPoseForPoseEstimation, VitPoseImageProcessor

        self._device = torch.device(str(resolve_device(scene.device)))
        self._dtype = torch.float16 if half else torch.float32
        self._processor = VitPoseImageProcessor.from_pretrained(scene.pose)
        model = VitPoseForPoseEstimation.from_pretrained(scene.pose, dtype=self._dtype)
        self._model = model.eval().to(self._device)
        is_plus = self._model.config.backbone_config.num_experts > 1
        self._more = {"dataset_index": torch.tensor([0], device=self._device)} if is_plus else {}

    def __call__(self, image: NDArray[np.uint8], boxes: Boxes) -> list[list[list[float]]]:
        """Return a list of keypoints (x, y, score) for each person."""
        xywh = [np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1).tolist()]
        rgb = np.ascontiguousarray(image[..., ::-1])
        inputs = self._processor([rgb], boxes=xywh, return_tensors="pt").to(self._device, self._dtype)
        with torch.inference_mode():
            outputs = self._model(**inputs, **self._more)
        outputs.heatmaps = outputs.heatmaps.float()  # scipy, which post-processing uses, knows no fp16
        people = self._processor.post_process_pose_estimation(outputs, boxes=xywh)[0]
        return [torch.cat((p["keypoints"], p["scores"][:, None]), dim=1).tolist() for p in people]


# ---- our stages, without the scheduler


def engines(scene: Scene) -> Run:
    """Our own stages, each on all cores, called one after the other."""
    from realtime.loading import load_models
    from realtime.publish.message import to_message
    from realtime.smooth.stage import SmoothStage
    from realtime.track.relink import RelinkStage

    config = load(environment={}, flags=scene.configuration)
    models = load_models(config, concurrency=1)
    relink = RelinkStage(config.tracker.relink_s, models.pose.skeleton.sigmas)
    smoother = SmoothStage(config.smoothing)
    socket = _publisher(zmq.XPUB)

    def step(shot: Shot) -> Boxes:
        frame = Frame("cam0", 0, shot.number, shot.image, shot.time_s, round(shot.captured_s * 1e9), time.time_ns())
        tracks = models.track.process(models.detect.process([frame]))
        poses = smoother.process(relink.process(models.pose.process(tracks)))[0]
        message = to_message(poses, "loop", frame.index, models.pose.skeleton.name)
        socket.send_multipart((wire.pose_topic(frame.camera), wire.encode(message, "msgpack")))
        return poses.xyxy

    engine = f"detector {models.detect.engine_name}, pose {models.pose.engine_name or models.pose_name}"
    return go(scene, f"ours, {engine}", step)


LOOPS = {
    "track": track,
    "track-as-shipped": track_as_shipped,
    "sequential": sequential,
    "sequential-half": sequential_half,
    "engines": engines,
}


if __name__ == "__main__":
    LOOPS[sys.argv[1]](Scene.from_json(sys.argv[2])).write(Path(sys.argv[3]))
