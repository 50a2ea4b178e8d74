"""Publishing and recording: Poses -> ZeroMQ messages, JSON lines. The end of the data path."""
