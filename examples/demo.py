"""The program behind `make demo`: run the pipeline on the built-in demo source and subscribe to its stream.

The pipeline runs in another process. This script prints the poses as they arrive and saves demo.jpg, a frame with the
boxes, ids and skeletons that the stream reported for it. The stream contains no images. The script draws the frame
itself, because the demo source draws frame k the same way every time.
"""

import socket
import subprocess
import sys
from pathlib import Path

import cv2

from realtime.capture.demo import demo_frame
from realtime.client import PoseSubscriber
from realtime.publish.draw import draw_people

FRAMES = 600  # at 30 frames per second: 20 s
PICTURE = Path("demo.jpg")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    command = [sys.executable, "run_realtime.py", "--source", "demo", "--realtime", "--max-frames", str(FRAMES)]
    command += ["--publish.bind", endpoint, "--publish.wait-for-subscribers", "1", "--report", "demo-report.json"]
    print("$", " ".join(command), flush=True)
    pipeline = subprocess.Popen(command)
    best, shown_s = None, -1.0
    try:
        with PoseSubscriber(endpoint, cameras=["cam0"], timeout_s=1.0) as stream:
            while pipeline.poll() is None:
                try:
                    pose = next(stream)
                except TimeoutError:
                    continue
                if pose.media_s - shown_s >= 1.0:
                    shown_s = pose.media_s
                    people = " ".join(f"#{i}" for i in pose.track_ids)
                    print(
                        f"{pose.camera} frame {pose.frame}: {len(pose.track_ids)} people {people}, "
                        f"{pose.keypoints.shape[1]} keypoints each, age {pose.age_s() * 1e3:.0f} ms",
                        flush=True,
                    )
                if best is None or len(pose.track_ids) >= len(best.track_ids):
                    best = pose
                    edges = stream.info("cam0", timeout_s=5.0).edges
    finally:
        pipeline.terminate()
        code = pipeline.wait()
    if code == 0 and best is not None:
        picture = demo_frame(best.frame)
        draw_people(picture, best.track_ids, best.boxes, best.keypoints, edges)
        cv2.imwrite(str(PICTURE), picture)
        print(f"{PICTURE}: frame {best.frame} with the poses from the stream; the run's report is demo-report.json")
    return code


if __name__ == "__main__":
    sys.exit(main())
