"""The command `python -m realtime.models FILE`: what a model file is, and what `pose.skeleton` may be for it.

`python -m realtime.models export OUT` writes converted networks (realtime.export).

Not on the data path.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from realtime.home import home_path
from realtime.observe.log import set_up_logging
from realtime.stdio import run_main
from realtime.stdout import keep_stdout, write_out
from realtime.tools import ToolParser, exit_code_of


def main(argv: Sequence[str] | None = None) -> int:
    """Describe files or folders, or export networks.

    Args:
        argv: the arguments after the program's name. None: those of this process.

    Returns:
        The exit code: 0; 2 for a wrong command line or a missing library; 4 if a file is no model.
    """
    words = sys.argv[1:] if argv is None else argv
    if list(words[:1]) == ["export"]:
        return _export(words[1:], is_program=argv is None)
    parser = ToolParser(
        prog="python -m realtime.models",
        description="Say what a model file is: its family, size, heads and keypoints, and what pose.skeleton may be. "
        "Nothing in the file is run. `export OUT` writes converted networks instead, for machines without torch: "
        "see export --help.",
    )
    parser.add_argument("file", nargs="+", type=home_path, help="a .pth, .pt or .safetensors file, or a folder")
    files = parser.parse_args(argv).file
    if argv is None:
        keep_stdout()

    def describe() -> None:
        from realtime.models.about import about

        for file in files:
            write_out("\n".join(about(file)) + "\n")

    return exit_code_of(describe, "run")


def _export(words: Sequence[str], *, is_program: bool) -> int:
    parser = ToolParser(
        prog="python -m realtime.models export",
        description="Write the detector and the pose model, converted for OpenVINO, to a new folder. A machine with "
        "this folder runs them without torch: pip install 'realtime-pose[light]', then realtime-pose "
        "--detector.weights OUT --pose.model OUT ...",
    )
    parser.add_argument("out", type=home_path, metavar="OUT", help="the folder to write")
    parser.add_argument(
        "flags",
        nargs=argparse.REMAINDER,
        help="any flags of the program; those of detector and pose choose the networks, as do --config and --preset",
    )
    options = parser.parse_args(words)
    if is_program:
        keep_stdout()
        set_up_logging("info", "text")

    def export() -> None:
        from realtime.export import export  # it uses the loading of the pipeline, which is above this package
        from realtime.machine import prepared_folders

        with prepared_folders():
            export(options.out, options.flags)

    return exit_code_of(export, "run")


if __name__ == "__main__":
    run_main(main)
