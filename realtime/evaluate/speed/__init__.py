"""The commands `compare`, `cost` and `start`: speed against other loops, the cost of more load, and that of a start."""
