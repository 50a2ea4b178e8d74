"""Capture: webcams, network cameras, video files, images and the built-in demo -> Frame.

The first step of the data path. `fleet` starts and stops the capture threads, and `camera` is the body of one thread.
`open` chooses the kind of a source: `stream` (opened by `connect`), `webcam`, `images` or `demo`, which all implement
the protocol in `source`. `timeline`, `freshness` and `view` turn a picture into a Frame. `backoff` sets the wait before
a lost camera is reopened.
"""
