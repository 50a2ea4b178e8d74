"""Every odd file gives its frames at their times, or one clear line: `make oddities`.

A combination is a container, a codec and a trait: `mkv-h264-gap_of_an_hour`. To repeat one, and to keep its file:

    python -m tests.oddities mkv-h264-gap_of_an_hour --keep odd.mkv
"""
