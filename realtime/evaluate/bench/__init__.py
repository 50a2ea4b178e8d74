"""The command `bench`: all measurements of speed in one go, and the files of two machines side by side."""
