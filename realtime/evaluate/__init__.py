"""Measurements, `python -m realtime.evaluate`: tracking, keypoints, smoothing, latency, cost.

Beside the program, not on the data path: it drives the same stages, or reads what they published.
"""
