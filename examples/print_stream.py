"""Print the poses of a stream until it ends.

python examples/print_stream.py --connect tcp://127.0.0.1:5555
"""

import argparse
import contextlib
import os
import sys

from realtime.client import PoseSubscriber


def main() -> str | None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connect", default="tcp://127.0.0.1:5555", metavar="ENDPOINT")
    parser.add_argument("--curve-secret", metavar="FILE", help="this reader's secret key, if the publisher uses keys")
    parser.add_argument("--curve-server", metavar="FILE", help="the publisher's public key")
    options = parser.parse_args()
    keys = {"curve_secret": options.curve_secret, "curve_server": options.curve_server}
    try:
        with contextlib.suppress(KeyboardInterrupt), PoseSubscriber(options.connect, **keys) as poses:
            for pose in poses:
                print(pose.camera, pose.track_ids, pose.keypoints.shape, flush=True)  # keypoints: float32 (N, K, 3)
    except (ValueError, TimeoutError) as error:  # a wrong address or key; the connection was lost
        return str(error)
    except BrokenPipeError:  # the program that reads the lines has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes the rest there
    return None


if __name__ == "__main__":
    sys.exit(main())  # with a text: prints it, and exits with code 1
