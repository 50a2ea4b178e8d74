"""Everything that a run reports about itself: log lines, counters and the report. Nothing here can delay the stream."""
