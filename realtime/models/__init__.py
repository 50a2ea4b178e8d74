"""From a model's name to a network: finds the file, chooses an engine, loads, converts and tests.

One third-party library per file. YOLO networks take and return numpy arrays; pose/ builds its engines around ViTPose's.
detect/ and pose/ import this package, never the other way round.
"""
