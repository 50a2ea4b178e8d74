"""Conversion of recordings to the formats of other programs: one file per format."""
