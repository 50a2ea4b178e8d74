"""Print the poses of a stream until it ends.

python examples/print_stream.py --connect tcp://127.0.0.1:5555
"""

import argparse
import sys

from realtime.client import PoseSubscriber

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--connect", default="tcp://127.0.0.1:5555", metavar="ENDPOINT")
parser.add_argument("--curve-secret", metavar="FILE", help="this reader's secret key, if the publisher uses keys")
parser.add_argument("--curve-server", metavar="FILE", help="the publisher's public key")
options = parser.parse_args()

try:
    with PoseSubscriber(options.connect, curve_secret=options.curve_secret, curve_server=options.curve_server) as poses:
        for pose in poses:
            print(pose.camera, pose.track_ids, pose.keypoints.shape)  # keypoints: float32 (N, K, 3) x, y, score
except (ValueError, TimeoutError) as error:  # a wrong address or key; the connection was lost
    sys.exit(str(error))
except KeyboardInterrupt:
    pass
