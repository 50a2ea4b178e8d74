"""Draw a pose stream on a plain background, in a window or, with --save, in an image file.

python examples/draw_stream.py --connect tcp://127.0.0.1:5555
"""

import argparse
import sys

import cv2
import numpy as np

from realtime.client import DEFAULT_ENDPOINT, PoseSubscriber
from realtime.publish.draw import draw_people
from realtime.publish.window import why_no_window


def draw(stream: PoseSubscriber, options: argparse.Namespace) -> str | None:
    """Draw until the stream ends, or a key or --count ends it. Return the error, if there was one."""
    number, edges = 0, stream.info(options.camera, timeout_s=5).edges
    for number, pose in enumerate(stream, 1):
        width, height = pose.size
        picture = np.full((height, width, 3), 32, np.uint8)
        draw_people(picture, pose.track_ids, pose.boxes, pose.keypoints, edges, pose.measured)
        if not options.save:
            cv2.imshow(options.camera, picture)
            if cv2.waitKey(1) == ord("q") or cv2.getWindowProperty(options.camera, cv2.WND_PROP_VISIBLE) < 1:
                return None
        elif len(pose.track_ids):
            return None if cv2.imwrite(options.save, picture) else f"--save: can't write {options.save}"
        if number == options.count:
            break
    return f"no people in {number} messages: {options.save} is not written" if options.save else None


def main() -> str | None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connect", metavar="ENDPOINT", default=DEFAULT_ENDPOINT)
    parser.add_argument("--camera", metavar="NAME", default="cam0")
    parser.add_argument("--save", metavar="FILE", help="write the first message with people to this image file")
    parser.add_argument("--count", metavar="N", type=int, help="end after N messages; with --save, if none has people")
    parser.add_argument("--curve-secret", metavar="FILE", help="this reader's secret key, if the publisher uses keys")
    parser.add_argument("--curve-server", metavar="FILE", help="the publisher's public key")
    options = parser.parse_args()
    if options.save and not cv2.haveImageWriter(options.save):
        return f"--save: got {options.save}, expected the name of an image file, such as people.png"
    if not options.save and (why := why_no_window()):
        return f"no window can be opened: {why}; use --save FILE"
    keys = {"curve_secret": options.curve_secret, "curve_server": options.curve_server}
    try:
        with PoseSubscriber(options.connect, cameras=[options.camera], timeout_s=10, **keys) as stream:
            return draw(stream, options)
    except KeyboardInterrupt:
        return None
    except (TimeoutError, ValueError) as error:  # no publisher or no such camera; a wrong address or key
        return str(error)


if __name__ == "__main__":
    sys.exit(main())  # with a text: prints it, and exits with code 1
