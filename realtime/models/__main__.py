"""The command `python -m realtime.models FILE`: what a model file is, and what `pose.skeleton` may be for it.

Not on the data path.
"""

from __future__ import annotations

from collections.abc import Sequence

from realtime.home import home_path
from realtime.stdio import run_main
from realtime.stdout import keep_stdout, write_out
from realtime.tools import ToolParser, exit_code_of


def main(argv: Sequence[str] | None = None) -> int:
    """Describe files or folders.

    Args:
        argv: the arguments after the program's name. None: those of this process.

    Returns:
        The exit code: 0; 2 for a wrong command line or a missing library; 4 if a file is no model.
    """
    parser = ToolParser(
        prog="python -m realtime.models",
        description="Say what a model file is: its family, size, heads and keypoints, and what pose.skeleton may be. "
        "Nothing in the file is run.",
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


if __name__ == "__main__":
    run_main(main)
