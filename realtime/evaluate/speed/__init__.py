"""The commands `compare` and `cost`: speed against other loops of the same models, and the cost of more load."""
