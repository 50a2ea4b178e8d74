"""Every odd file gives its frames at their times, or one clear line: `make oddities`.

A combination is a container, a codec and a trait: `mkv-h264-gap_of_an_hour`. To repeat one, and to keep its file:

    python -m tests.oddities mkv-h264-gap_of_an_hour --keep odd.mkv

The files of this folder, in the order in which to read them:

    picture.py      draws pictures that tell their number and which way is up, and reads them
    containers.py   what each container can store, and its codecs
    codecs.py       the encoders and their options
    traits.py       what makes a file odd: a trait is a function from a plain clip to an odd one
    clip.py         writes a clip
    expect.py       what a clip must give, from what was written and from what its container can store
    check.py        reads a file as the program does, and compares
    combination.py  container x codec x trait: writes, reads, judges
    images.py       images, folders of images and animations
    sent.py         a part of the same files over a pipe and over HTTP
    all.py          all of them by name
    table.py, conftest.py   the table of docs/reliability.md (pytest ... --write-figures)
    test_oddities.py, test_sample.py   `make oddities`, and a part of it for `make test`
"""
