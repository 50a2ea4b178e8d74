"""The cost of capture alone: `python -m tests.bench.capture`.

A fake RTSP camera in its own process sends H.264. This process captures it as the program does, and prints its CPU time
per second of video: once with a reader that takes every frame from the door, once without, so that each frame is
dropped there. The same file measures an older version, from a checkout of it.
"""

import argparse
import resource
import threading
import time

from realtime.capture.camera import Camera
from realtime.config import CameraConfig
from realtime.observe.status import CameraStatus
from realtime.runtime.channel import Closed
from realtime.runtime.door import Door
from realtime.runtime.memory import share_pools
from tests.faults.process import CameraProcess

WARM_UP_S = 3.0


def take_all(door: Door) -> None:
    """Take each frame, and let it go as published."""
    while True:
        try:
            for frame in door.take():
                door.leave(frame.camera)
        except Closed:
            return


def measure(url: str, seconds: float, takes: bool) -> str:
    """Capture for this long, then return a row of the table."""
    status, stop = CameraStatus("cam0"), threading.Event()
    door = Door(["cam0"], 2, 9.0, on_drop=lambda camera, cause: status.count_dropped(cause))
    camera = Camera(
        CameraConfig(name="cam0", source=url),
        realtime=False, loop=False, max_frames=None, fail_fast=False, door=door, status=status, stop=stop,
    )  # fmt: skip
    threads = [
        threading.Thread(target=camera.run),
        *([threading.Thread(target=take_all, args=[door])] if takes else []),
    ]
    for thread in threads:
        thread.start()
    time.sleep(WARM_UP_S)
    before, captured = resource.getrusage(resource.RUSAGE_SELF), status.captured
    time.sleep(seconds)
    after, frames = resource.getrusage(resource.RUSAGE_SELF), status.captured - captured
    stop.set()
    door.stop()
    for thread in threads:
        thread.join()
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    faults = after.ru_minflt - before.ru_minflt
    kind = "taken" if takes else "dropped"
    return f"| {kind} | {1e3 * cpu_s / frames:.2f} | {cpu_s / seconds:.3f} | {faults / frames:.0f} | {frames} |"


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.capture", description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--background", help="video file that the camera shows")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    share_pools()
    background = [f"--background={options.background}"] if options.background else []
    print("| frames | CPU ms per frame | CPU s per s | page faults per frame | captured |")
    print("| --- | --- | --- | --- | --- |")
    with CameraProcess(f"--size={options.size}", "--fps=25", "--loop=4", *background) as camera:
        for _ in range(options.rounds):
            for takes in (False, True):
                print(measure(camera.url(), options.seconds, takes), flush=True)


if __name__ == "__main__":
    main()
