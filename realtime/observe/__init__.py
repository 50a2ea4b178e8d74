"""What a run shows to the outside: log lines, counters and the report. Nothing here can delay the stream."""
