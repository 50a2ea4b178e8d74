"""The command `smoothing`: error, jitter and lag of smoothing filters on true motion."""
