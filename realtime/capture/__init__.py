"""Capture: webcams, network cameras, video files, images and the built-in demo -> Frame.

The first stage of the data path. `camera.py` is the body of a capture thread. Every other file is one kind of source,
or one step between a source and the door.
"""
