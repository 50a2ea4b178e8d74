"""Print who is seen where. Start `python run_realtime.py --source demo` in another terminal."""

from realtime.client import PoseSubscriber

with PoseSubscriber("tcp://127.0.0.1:5555") as poses:
    for pose in poses:
        print(pose.camera, pose.track_ids, pose.keypoints.shape)  # keypoints: float32 (N, K, 3) x, y, score
