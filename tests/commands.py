"""The commands that the documents show: in code blocks, in code within text, in comments and in docstrings.

tests/test_documents.py checks each of them.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
# The beginning of a command of ours, or of one that installs us.
_PYTHON = r"(?:\.venv/bin/)?python(?= -m realtime| -m tests| -m cProfile| run_realtime| examples/)"
_OURS = rf"{_PYTHON}|realtime-pose|make|pip install"
_SPAN = re.compile(rf"`((?:{_OURS})(?: [^`]*)?)`")
_PUNCTUATION = ";|&<>()"


class Command(NamedTuple):
    """A command of ours.

    Attributes:
        document: path in the repository.
        words: the program and its arguments, without what a shell does with them.
        is_whole: false for a mention in a sentence, which may leave out arguments.
    """

    document: str
    words: tuple[str, ...]
    is_whole: bool = True

    def __str__(self) -> str:
        return f"{self.document}: {' '.join(self.words)}"


def documents() -> list[str]:
    """The Markdown files, and the configurations and examples, whose comments and docstrings show commands.

    CHANGELOG.md is left out, because it names commands of earlier versions.
    """
    patterns = ["*.md", "configs/*.yaml", "deploy/*.yml", "examples/*.py", ":!CHANGELOG.md"]
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.split()


def commands(document: str, text: str) -> list[Command]:
    """Return the commands that a document shows, in their order and without repetitions.

    >>> [command.words for command in commands("x.md", "    make demo  # 20 s\\n\\nor `realtime-pose client | head`")]
    [('make', 'demo'), ('realtime-pose', 'client')]

    Args:
        document: its path, for messages and to tell the kind of text.
        text: its content.
    """
    shown: list[tuple[str, bool]]
    if document.endswith(".md"):
        shown = [(line, True) for line in _blocks(text)]
        shown += [(" ".join(match[1].split()), False) for match in _SPAN.finditer(text)]
    else:
        lines = [line.strip().lstrip("#").strip() for line in text.splitlines()]
        found = [re.search(rf"(?:^|[\s`(])((?:{_OURS}) [^`]*)", line) for line in lines]
        shown = [(match[1].split(". ")[0], False) for match in found if match]
    above: list[str] = []
    words: dict[tuple[str, ...], bool] = {}
    for line, is_whole in shown:
        for segment in _segments(line):
            if segment[0] == "..." and above:  # the command above, with other flags
                segment = [*above, *segment[1:]]
            elif re.match(rf"(?:{_OURS})(?: |$)", " ".join(segment)):
                above = segment
            else:
                continue
            words.setdefault(tuple(segment), is_whole)
    return [Command(document, each, is_whole) for each, is_whole in words.items()]


def _blocks(text: str) -> Iterator[str]:
    """The lines of a document's code blocks that are for a shell."""
    fence = None
    joined = ""
    for line in text.splitlines():
        if match := re.match(r"```(\w*)", line):
            fence = match[1] if fence is None else None
            continue
        if fence in ("", "sh", "bash", "console") or (fence is None and line.startswith("    ")):
            joined += line.strip()
            if joined.endswith("\\"):
                joined = joined[:-1]
                continue
            yield joined
        joined = ""


def _segments(line: str) -> Iterator[list[str]]:
    """Split a line at what a shell splits it at. A variable gets the first value of its loop, or 1."""
    for name, value in re.findall(r"\bfor (\w+) in (\S+)", line):
        line = line.replace(f"${name}", value)
    line = re.sub(r"\[(--?\w[^\]]*)\]", r"\1", line)  # an optional flag
    line = re.sub(r"\$\w+", "1", line)
    splitter = shlex.shlex(line, posix=True, punctuation_chars=_PUNCTUATION)
    splitter.whitespace_split = True
    try:
        words = list(splitter)
    except ValueError:  # an unmatched quote: text, not a command
        return
    segment: list[str] = []
    for word in [*words, ";"]:
        if not set(word) <= set(_PUNCTUATION):
            if segment or word not in ("do", "time", "$", ">"):
                segment.append(word)
        elif segment:
            yield segment
            segment = []
