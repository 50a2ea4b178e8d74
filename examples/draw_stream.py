"""Draw a pose stream on a plain background, in a window or, with --save, in an image file.

python examples/draw_stream.py --connect tcp://127.0.0.1:5555
"""

import argparse

import cv2
import numpy as np

from realtime.client import PoseSubscriber
from realtime.publish.draw import draw_people

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--connect", default="tcp://127.0.0.1:5555")
parser.add_argument("--camera", default="cam0")
parser.add_argument("--save", help="write an image after --count messages instead of opening a window")
parser.add_argument("--count", type=int, default=50)
arguments = parser.parse_args()

with PoseSubscriber(arguments.connect, cameras=[arguments.camera], timeout_s=10) as stream:
    edges = stream.info(arguments.camera, timeout_s=10).edges
    for number, pose in enumerate(stream, 1):
        width, height = pose.size
        picture = np.full((height, width, 3), 32, np.uint8)
        draw_people(picture, pose.track_ids, pose.boxes, pose.keypoints, edges, pose.measured)
        if arguments.save and number == arguments.count:
            if not cv2.imwrite(arguments.save, picture):
                parser.exit(1, f"--save: can't write {arguments.save}\n")
            break
        if not arguments.save:
            cv2.imshow(pose.camera, picture)
            if cv2.waitKey(1) == ord("q"):
                break
