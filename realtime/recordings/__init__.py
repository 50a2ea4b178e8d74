"""Recordings of the stream: read, replayed. They need no stage and no model."""
