"""The machinery that runs the stages: the door, channels, threads, core budgets and device lanes.

It moves items along the whole data path without knowing what they contain.
"""
