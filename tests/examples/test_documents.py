"""What the documents show of the examples: their commands, and the code that reads a stream."""

import ast
import re
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.examples.loading import EXAMPLES, load
from tests.wire.publisher import WAIT_S, info, pose

DOCS = EXAMPLES.parent / "docs"
COMMANDS = re.findall(r"^    python examples/(alert\.py .*)", (DOCS / "cameras.md").read_text(), re.MULTILINE)
TESTED_ELSEWHERE = {"demo", "print_stream"}  # by make demo, and by tests/wire


@pytest.mark.parametrize("command", COMMANDS)
def test_the_alerts_of_the_document_are_watched(command, monkeypatch, capsys):
    alert = load("alert")
    monkeypatch.setattr(alert.shutil, "which", lambda name: name)  # there may be no `mail`
    monkeypatch.setattr(
        alert, "follow", lambda subscribers, watches: [subscriber.close() for subscriber in subscribers] and []
    )
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    assert alert.main() == 0
    assert capsys.readouterr().err.startswith("watching tcp://")


def test_the_code_of_the_document_shows_the_people_of_a_stream(publisher):
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "library.md").read_text(), re.DOTALL)
    [code] = [block for block in blocks if "PoseSubscriber" in block]
    names = {}
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(exec, code.replace("tcp://127.0.0.1:5555", publisher.endpoint), names)
        publisher.wait_for(b"pose/")
        publisher.send(info())
        publisher.send(pose(n=0))
        publisher.send(pose(seq=1))
        run.result(WAIT_S)
    *_, last = code.splitlines()
    assert eval(last.partition("  #")[0], names).size == (640, 480)


def test_every_example_runs_in_a_test():
    tests = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    for path in EXAMPLES.glob("*.py"):
        assert f"{path.name}" in tests or f'load("{path.stem}")' in tests or path.stem in TESTED_ELSEWHERE, path
        assert ast.get_docstring(ast.parse(path.read_text())), path
