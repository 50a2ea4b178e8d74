"""Print the poses of a stream until it ends: python examples/print_stream.py [ENDPOINT].

Requires only `pip install realtime-pose`. docs/wire.md ("When the stream ends") says when a stream ends.
"""

import sys

from realtime.client import PoseSubscriber

with PoseSubscriber(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5555") as poses:
    for pose in poses:
        print(pose.camera, pose.track_ids, pose.keypoints.shape)  # keypoints: float32 (N, K, 3) x, y, score
