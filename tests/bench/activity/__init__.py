"""What the motion gate saves and what it costs, `--activity.mode on` against `off` (see `__main__`)."""
