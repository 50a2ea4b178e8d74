"""Log lines of the dashboard."""

import json
import logging

import pytest

from realtime.dashboard.logs import set_up_logging


@pytest.fixture(autouse=True)
def _as_before():
    root, ours = logging.getLogger(), logging.getLogger("realtime")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def written(capsys, form, write):
    set_up_logging("info", form)
    write(logging.getLogger("realtime.dashboard.feed"))
    return capsys.readouterr().err.splitlines()


def test_a_line_of_text_stays_one_line(capsys):
    (line,) = written(capsys, "text", lambda log: log.warning("%s: x\n12:00:00 info forged \x1b[31m", "cam0"))
    assert line.endswith(r" warning cam0: x\n12:00:00 info forged \x1b[31m")


def test_a_line_of_json_has_the_keys_of_the_pipeline_s_log(capsys):
    (line,) = written(capsys, "json", lambda log: log.info("the page\nis up"))
    said = json.loads(line)
    assert {*said} == {"time", "level", "logger", "message"}
    assert said["message"] == "the page\nis up"


def test_a_traceback_is_indented(capsys):
    def fail(log):
        try:
            raise OSError("no")
        except OSError:
            log.exception("it failed")

    first, *rest = written(capsys, "text", fail)
    assert first.endswith(" error it failed")
    assert all(line.startswith("  ") for line in rest)


def test_nonsense_of_strangers_does_not_fill_the_log(capsys):
    def nonsense(_):
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        logging.getLogger("uvicorn.error").error("Invalid UTF-8 sequence received from client.")

    assert written(capsys, "text", nonsense) == []
