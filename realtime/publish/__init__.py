"""Out to the world: Poses -> ZeroMQ, JSON lines. The end of the data path."""
