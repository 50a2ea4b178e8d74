"""Draw the poses of a camera over its pictures, in a window or, with --save, in an image file.

python run_realtime.py --source 0 --publish.pictures tcp://127.0.0.1:5556
python examples/draw_pictures.py --connect tcp://127.0.0.1:5555
"""

import argparse

import cv2
import numpy as np
import zmq

from realtime import wire
from realtime.client import PoseSubscriber
from realtime.publish.draw import draw_people

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--connect", default="tcp://127.0.0.1:5555")
parser.add_argument("--camera", default="cam0")
parser.add_argument("--width", default="640", choices=wire.WIDTHS)
parser.add_argument("--save", help="write the first picture to this file instead of opening a window")
arguments = parser.parse_args()

with PoseSubscriber(arguments.connect, cameras=[arguments.camera], timeout_s=10) as stream:
    info = stream.info(arguments.camera)
    if info.pictures is None:
        parser.exit(1, "the stream has no pictures: start the publisher with --publish.pictures tcp://127.0.0.1:5556\n")
    pictures = zmq.Context.instance().socket(zmq.SUB)
    pictures.linger, pictures.rcvhwm = 0, 2
    pictures.subscribe(wire.picture_topic(arguments.camera, arguments.width))
    pictures.connect(info.pictures)
    poses = {}  # by seq; the pose of a frame arrives before its picture
    for pose in stream:
        poses = {seq: earlier for seq, earlier in poses.items() if seq > pose.seq - 100} | {pose.seq: pose}
        if not pictures.poll(0):
            continue
        message = wire.decode(*pictures.recv_multipart())
        if (of_picture := poses.get(message.seq)) is None or of_picture.session != message.session:
            continue
        picture = cv2.imdecode(np.frombuffer(message.jpeg, np.uint8), cv2.IMREAD_COLOR)
        scale = np.float32([message.width, message.height]) / message.size
        boxes, keypoints = of_picture.boxes * np.tile(scale, 2), of_picture.keypoints * [*scale, 1]
        draw_people(picture, of_picture.track_ids, boxes, keypoints, info.edges, of_picture.measured)
        if arguments.save:
            if not cv2.imwrite(arguments.save, picture):
                parser.exit(1, f"--save: can't write {arguments.save}\n")
            break
        cv2.imshow(arguments.camera, picture)
        if cv2.waitKey(1) == ord("q"):
            break
