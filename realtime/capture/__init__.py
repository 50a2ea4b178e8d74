"""The world -> Frame: webcams, network cameras, video files, images and the built-in demo.

First on the data path. `camera.py` is the body of a capture thread; each other file is one kind of source or one part
of what the thread does with it.
"""
