# SPDX-License-Identifier: MIT
"""The client of the pose stream: PoseSubscriber, and `python -m realtime.client` for terminals and pipes.

It is the far end of the data path and runs in the subscriber's own program. It imports only pyzmq, msgspec and numpy,
not torch, and is under the MIT licence. realtime.wire contains its code.

    from realtime.client import PoseSubscriber

    with PoseSubscriber("tcp://127.0.0.1:5555") as subscriber:
        for pose in subscriber:
            print(pose.camera, pose.track_ids, pose.keypoints.shape)  # keypoints: float32 (N, K, 3): x, y, score
"""

from realtime.stdio import run_main
from realtime.wire.command import main
from realtime.wire.pose import Pose
from realtime.wire.reading import DEFAULT_ENDPOINT
from realtime.wire.subscriber import PoseSubscriber

__all__ = ["DEFAULT_ENDPOINT", "Pose", "PoseSubscriber", "main"]

if __name__ == "__main__":
    run_main(main)
