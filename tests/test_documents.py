"""The documents: every command that they show is accepted by its tool, and every link leads somewhere.

The commands are parsed here, not run. CONTRIBUTING.md lists where those of each document run.
"""

import argparse
import contextlib
import importlib
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from realtime.config import load
from realtime.flags import parse
from realtime.tools import TOOLS
from tests.commands import ROOT, Command, commands, documents

# The module with the `main(arguments)` of each tool.
MAINS = {
    "client": "realtime.wire.command",
    "keys": "realtime.wire.keys",
    "evaluate": "realtime.evaluate.__main__",
    "replay": "realtime.replay",
    "convert": "realtime.recordings.convert.command",
    "dashboard": "realtime.dashboard.command",
    "models": "realtime.models.__main__",
}
SHOWN = [command for document in documents() for command in commands(document, (ROOT / document).read_text())]
MAKEFILE = (ROOT / "Makefile").read_text()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


class Parsed(BaseException):
    """A tool has accepted its arguments. Not an Exception, because tools report those."""


@pytest.fixture
def parse_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """End each tool once it has parsed its arguments."""
    parse_args = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser, *arguments: object) -> None:
        parse_args(parser, *arguments)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)


def of(pattern: str) -> list[object]:
    """The commands that match, as test parameters: the command, its arguments after the match, and the match."""
    return [
        pytest.param(command, list(command.words[len(found[0].split()) :]), found, id=str(command))
        for command in SHOWN
        if (found := re.match(pattern, " ".join(command.words)))
    ]


@pytest.mark.parametrize(
    ("command", "arguments", "_found"), of(r"python run_realtime.py|realtime-pose(?! [a-z]| [A-Z])")
)
def test_the_program_accepts_a_command(
    command: Command, arguments: list[str], _found: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    own, flags = parse(arguments)
    files = [path for path in own.config if path.parts[0] == "configs"]  # others are the reader's own
    assert load(files, environment={}, flags=flags)


@pytest.mark.usefixtures("parse_only")
@pytest.mark.parametrize(
    ("command", "arguments", "found"),
    of(rf"(?:python -m (?:cProfile -s cumtime -m )?realtime\.|realtime-pose )({'|'.join(MAINS)})\b"),
)
def test_a_tool_accepts_a_command(
    command: Command, arguments: list[str], found: re.Match[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main = importlib.import_module(MAINS[found[1]]).main
    with contextlib.suppress(Parsed, SystemExit):
        main(arguments)
    said = capsys.readouterr().err
    is_left_out = re.search(r"arguments are required|expected one argument", said)
    assert not said or (is_left_out and not command.is_whole), said


def test_every_tool_is_parsed_above() -> None:
    assert set(MAINS) == set(TOOLS)


@pytest.mark.parametrize(("command", "arguments", "_found"), of("make"))
def test_a_target_of_make_and_its_variables_exist(command: Command, arguments: list[str], _found: object) -> None:
    targets = {word for line in re.findall(r"^([\w -]+):", MAKEFILE, re.MULTILINE) for word in line.split()}
    for word in arguments:
        variable, is_set, _ = word.partition("=")
        assert f"$({variable}" in MAKEFILE if is_set else word in targets, word


@pytest.mark.parametrize(("command", "arguments", "_found"), of("pip install"))
def test_an_extra_that_is_installed_exists(command: Command, arguments: list[str], _found: object) -> None:
    for extras in re.findall(r"\[(.*?)\]", " ".join(arguments)):
        assert {*extras.split(",")} <= {*EXTRAS}


@pytest.mark.parametrize(
    ("command", "arguments", "found"),
    of(r"(?:\.venv/bin/)?python (?:-m (tests[\w.]*|realtime\.wire\.document|realtime\.config)|(examples/\S+))"),
)
def test_a_program_of_the_repository_exists_and_has_the_flags(
    command: Command, arguments: list[str], found: re.Match[str]
) -> None:
    file = ROOT / found[2] if found[2] else Path(importlib.util.find_spec(found[1]).origin)
    folder = file.parent if file.name == "__init__.py" else file
    assert file.exists()
    source = "".join(path.read_text() for path in ([folder] if folder.is_file() else sorted(folder.glob("*.py"))))
    for flag in re.findall(r"--[a-z-]+(?=\s|=|$)", " ".join(arguments)):
        assert flag in source or "parse_known_args" in source, flag


# ---- links


def anchors(text: str) -> set[str]:
    """The anchors of a Markdown file: those that GitHub makes of headings, and `<a id="...">`."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found: dict[str, int] = {}
    for title in re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE):
        words = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        if found[slug]:
            found[f"{slug}-{found[slug]}"] = 0
    return {*found, *re.findall(r'<a id="([^"]+)">', text)}


def broken_links() -> set[str]:
    pages = [ROOT / name for name in [*documents(), "CHANGELOG.md"] if name.endswith(".md")]
    texts = {page: page.read_text() for page in pages}
    broken = set()
    for page, text in texts.items():
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and file in texts and anchor not in anchors(texts[file])):
                broken.add(f"{page.relative_to(ROOT)}: {target}")
    return broken


def test_links_lead_to_files_and_headings() -> None:
    assert not broken_links()


def test_anchors_are_those_of_github() -> None:
    text = '# A `b.c` (d), e\n```\n# no heading\n```\n## web/1\n## web/1\n### Ünï_x & y\n<a id="z"></a>\n'
    assert anchors(text) == {"a-bc-d-e", "web1", "web1-1", "ünï_x--y", "z"}
