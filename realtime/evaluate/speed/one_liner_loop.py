"""The single line of ultralytics that people type, in a process of its own: the loops of the mode `one-liner`.

`compare` starts it with `python -m realtime.evaluate.speed.one_liner_loop LOOP SCENE RESULT`. It imports little besides
ultralytics, because the time to the first result counts from the start of the process.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from realtime.evaluate.speed.runs import Run, Scene
from realtime.runtime.core_budget import all_cores


def one_liner(scene: Scene, has_all_cores: bool) -> Run:
    """Track the people of a video with ultralytics' defaults.

    Args:
        scene: names the video, the weights and the number of frames.
        has_all_cores: run torch on all cores; otherwise on as many as ultralytics chooses.
    """
    # Keep ultralytics from installing packages, from using the network and from printing.
    for name, value in (("AUTOINSTALL", "false"), ("OFFLINE", "true"), ("VERBOSE", "false")):
        os.environ.setdefault(f"YOLO_{name}", value)
    from ultralytics import YOLO

    model = YOLO(scene.weights)
    import torch  # after ultralytics, which chooses its number of threads

    if has_all_cores:  # after ultralytics has set its own number
        model.add_callback("on_predict_start", lambda predictor: torch.set_num_threads(all_cores()))
    options = {} if scene.device == "auto" else {"device": scene.device}
    run, asked_s = Run(""), time.monotonic()
    for index, result in enumerate(model.track(scene.video, stream=True, **options)):
        now_s = time.monotonic()
        # If it tracks no person in a frame, ultralytics leaves the detections there, without identities.
        boxes = result.boxes.xyxy.cpu().numpy() if result.boxes.is_track else np.zeros((0, 4))
        # ultralytics does not report when a frame was read, so its age starts at the request for it.
        run.add(index, asked_s, now_s, np.asarray(boxes, np.float32))
        if index + 1 == scene.frames:
            break
        asked_s = now_s
    tracker = Path(str(model.predictor.args.tracker)).stem
    run.engine = f"ultralytics, {tracker}, torch fp32, {torch.get_num_threads()} threads, {model.device}"
    return run


if __name__ == "__main__":
    one_liner(Scene.from_json(sys.argv[2]), sys.argv[1].endswith("all-cores")).write(Path(sys.argv[3]))
