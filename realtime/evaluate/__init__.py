"""Measurements of accuracy, latency and cost: `python -m realtime.evaluate`.

This package is not on the data path. It runs the same stages as the program, or reads the messages that the program
published.
"""
