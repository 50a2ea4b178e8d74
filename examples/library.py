"""Track people in a video with your own loop, and save the last image: python examples/library.py clip.mp4 out.png"""

import sys

import cv2

from realtime import PoseTracker
from realtime.errors import RealtimeError

if len(sys.argv) != 3 or not cv2.haveImageWriter(sys.argv[2]):
    sys.exit("usage: python examples/library.py VIDEO IMAGE.png")
video = cv2.VideoCapture(sys.argv[1])
fps, number, drawn = video.get(cv2.CAP_PROP_FPS) or 30, 0, None
if not video.isOpened():
    sys.exit(f"can't read {sys.argv[1]}")
try:
    with PoseTracker() as tracker:
        while (image := video.read()[1]) is not None:
            poses = tracker(image, time_s=number / fps)
            print(number, poses.track_ids, poses.keypoints.shape)  # keypoints: float32 (N, K, 2), pixels of the image
            number, drawn = number + 1, tracker.draw(poses)
except RealtimeError as error:  # for example, a model that can't be loaded
    sys.exit(str(error))
except KeyboardInterrupt:
    print("stopped", file=sys.stderr)
if drawn is None or not cv2.imwrite(sys.argv[2], drawn):
    sys.exit(f"can't read {sys.argv[1]} or write {sys.argv[2]}")
