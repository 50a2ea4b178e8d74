"""What can be seen of a run from outside: log lines, counters, the report. Nothing here can delay the stream."""
