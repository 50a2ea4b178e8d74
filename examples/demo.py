"""The program behind `make demo`: run the pipeline on the built-in source, with its live page, and read its stream.

The pipeline runs in another process, for 20 s, or until Ctrl-C with --keep (`make demo KEEP=1`). This script prints the
poses as they arrive. In the end it saves demo.jpg, a frame with the boxes, ids and skeletons that the stream reported
for it: the demo source draws frame k the same way every time.
"""

import contextlib
import signal
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
PAGE_PORT = 8080


def free_port(wanted: int = 0) -> int:
    """A port that no program uses: the wanted one if it is free."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as probe:
            return int(probe.getsockname()[1])
    sys.exit("no port is free")


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the pipeline too, as Ctrl-C does
    page, endpoint = f"127.0.0.1:{free_port(PAGE_PORT)}", f"tcp://127.0.0.1:{free_port()}"
    command = [sys.executable, "run_realtime.py", "--source", "demo", "--realtime", "--web", page]
    command += [] if "--keep" in sys.argv else ["--max-frames", str(FRAMES)]
    command += ["--publish.bind", endpoint, "--publish.wait-for-subscribers", "1", "--report", "demo-report.json"]
    print(f"open http://{page}/ in a browser\n$", *command, flush=True)
    pipeline = subprocess.Popen(command)
    best, shown_s = None, -1.0
    try:
        with PoseSubscriber(endpoint, cameras=["cam0"]) as stream:
            while pipeline.poll() is None and not stream.ended:
                if (pose := stream.latest(timeout_s=1.0).get("cam0")) is None:
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
    except KeyboardInterrupt:
        print("stopping", flush=True)
    finally:
        code = ended(pipeline)
    if code == 0 and best is not None:
        picture = demo_frame(best.frame)
        draw_people(picture, best.track_ids, best.boxes, best.keypoints, edges)
        cv2.imwrite(str(PICTURE), picture)
        print(f"{PICTURE}: frame {best.frame} with the poses from the stream; the run's report is demo-report.json")
    return code


def ended(pipeline: subprocess.Popen[bytes]) -> int:
    """Wait for the end of the pipeline. A Ctrl-C in the terminal has reached it too, and ends it within 3 s."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return pipeline.wait(5)
    pipeline.terminate()  # only this script was told to end
    return pipeline.wait()


if __name__ == "__main__":
    sys.exit(main())
