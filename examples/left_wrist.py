"""Write where the left wrists of all people are, as CSV: python examples/left_wrist.py > wrists.csv

--keypoint takes any name of the camera's skeleton (docs/wire.md lists them). Requires `pip install realtime-pose`.
"""

import argparse
import csv
import os
import sys

from realtime.client import DEFAULT_ENDPOINT, PoseSubscriber


def write(stream: PoseSubscriber, options: argparse.Namespace) -> str | None:
    """Write a row for each person and frame, until the stream ends. Return the error, if there was one."""
    if not stream.statuses(timeout_s=5):  # each camera sends one every second, once the models have loaded
        print(f"{options.connect}: {stream.why()}; still waiting", file=sys.stderr)
    table, indices = csv.writer(sys.stdout, lineterminator="\n"), {}
    table.writerow(["captured_ns", "media_s", "camera", "track_id", "x", "y", "score"])
    sys.stdout.flush()
    for pose in stream:
        if pose.camera not in indices:
            names = stream.info(pose.camera).keypoint_names
            if options.keypoint not in names:
                return f"{pose.camera!r} has no keypoint {options.keypoint!r}, only these: {names}"
            indices[pose.camera] = names.index(options.keypoint)
        for track_id, keypoints in zip(pose.track_ids, pose.keypoints, strict=True):
            x, y, score = keypoints[indices[pose.camera]]
            row = [pose.captured_ns, pose.media_s, pose.camera, track_id, f"{x:.2f}", f"{y:.2f}", f"{score:.3f}"]
            table.writerow(row)
        sys.stdout.flush()
    return None


def main() -> str | None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connect", metavar="ENDPOINT", default=DEFAULT_ENDPOINT)
    parser.add_argument("--camera", metavar="NAME", help="read only this camera (all)")
    parser.add_argument("--keypoint", metavar="NAME", default="left_wrist")
    parser.add_argument("--curve-secret", metavar="FILE", help="this reader's secret key, if the publisher uses keys")
    parser.add_argument("--curve-server", metavar="FILE", help="the publisher's public key")
    options = parser.parse_args()
    cameras = [options.camera] if options.camera else None
    keys = {"curve_secret": options.curve_secret, "curve_server": options.curve_server}
    try:
        with PoseSubscriber(options.connect, cameras=cameras, **keys) as stream:
            return write(stream, options)
    except KeyboardInterrupt:
        return None
    except (TimeoutError, ValueError) as error:  # the connection is lost; a wrong address or key
        return str(error)
    except OSError as error:  # the program that reads the rows has ended, as `head` does; or the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes the rest there
        return None if isinstance(error, BrokenPipeError) else f"standard output: {error.strerror}"


if __name__ == "__main__":
    sys.exit(main())  # with a text: prints it, and exits with code 1
