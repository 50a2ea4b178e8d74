"""Draw the poses of a camera over its pictures, in a window or, with --save, in an image file.

python run_realtime.py --source 0 --publish.pictures tcp://127.0.0.1:5556
python examples/draw_pictures.py --connect tcp://127.0.0.1:5555
"""

import argparse
import sys
import time

import cv2
import numpy as np
import zmq

from realtime import wire
from realtime.client import DEFAULT_ENDPOINT, PoseSubscriber
from realtime.publish.draw import draw_people
from realtime.publish.window import why_no_window
from realtime.wire.endpoints import pictures_endpoint
from realtime.wire.reading import load_keys


def pictures_of(options: argparse.Namespace, endpoint: str) -> zmq.Socket:
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.linger, socket.rcvhwm = 0, 2
    if keys := load_keys(options.curve_secret, options.curve_server):
        socket.curve_publickey, socket.curve_secretkey = keys[0].public, keys[0].secret
        socket.curve_serverkey = keys[1].public
    socket.subscribe(wire.picture_topic(options.camera, options.width))
    socket.connect(endpoint)
    return socket


def draw(stream: PoseSubscriber, options: argparse.Namespace) -> str | None:
    """Draw until the stream ends, or a key ends it. Return the error, if there was one."""
    info = stream.info(options.camera, timeout_s=5)
    if info.pictures is None:
        return "the stream has no pictures: start the publisher with --publish.pictures tcp://127.0.0.1:5556"
    endpoint = pictures_endpoint(options.connect, info.pictures)
    if endpoint is None:
        return f"the pictures can't be reached from here: the stream announces {info.pictures!r}"
    pictures = pictures_of(options, endpoint)
    poses, heard_s = {}, time.monotonic()  # poses by seq: that of a frame arrives before its picture
    for pose in stream:
        poses = {seq: earlier for seq, earlier in poses.items() if seq > pose.seq - 100} | {pose.seq: pose}
        if not pictures.poll(0):
            if time.monotonic() - heard_s > 10:
                return f"no picture from {endpoint} for 10 s: can it be reached, does it want a key?"
            continue
        heard_s = time.monotonic()
        message = wire.decode(*pictures.recv_multipart())
        if (of_picture := poses.get(message.seq)) is None or of_picture.session != message.session:
            continue
        picture = cv2.imdecode(np.frombuffer(message.jpeg, np.uint8), cv2.IMREAD_COLOR)
        scale = np.float32([message.width, message.height]) / message.size
        boxes, keypoints = of_picture.boxes * np.tile(scale, 2), of_picture.keypoints * [*scale, 1]
        draw_people(picture, of_picture.track_ids, boxes, keypoints, info.edges, of_picture.measured)
        if options.save:
            return None if cv2.imwrite(options.save, picture) else f"--save: can't write {options.save}"
        cv2.imshow(options.camera, picture)
        if cv2.waitKey(1) == ord("q") or cv2.getWindowProperty(options.camera, cv2.WND_PROP_VISIBLE) < 1:
            return None
    return f"no picture came: {options.save} is not written" if options.save else None


def main() -> str | None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connect", metavar="ENDPOINT", default=DEFAULT_ENDPOINT)
    parser.add_argument("--camera", metavar="NAME", default="cam0")
    parser.add_argument("--width", default="640", choices=wire.WIDTHS)
    parser.add_argument("--save", metavar="FILE", help="write the first picture to this file, instead of a window")
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
