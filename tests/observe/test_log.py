import json
import logging
import re
import sys
import threading
import types
import warnings

import pytest

from realtime.observe.log import log_uncaught, set_up_logging

URL = "rtsp://admin:hunter2@10.0.0.5/s1"


@pytest.fixture(autouse=True)
def logging_as_before():
    """Undo `set_up_logging`, which is meant for a whole process."""
    root, ours = logging.getLogger(), logging.getLogger("realtime")
    before = root.handlers[:], root.level, ours.level
    logging.captureWarnings(False)  # an earlier test may have set it
    yield
    root.handlers[:], root.level, ours.level = before
    logging.captureWarnings(False)


@pytest.fixture
def lines(capsys):
    """A function that returns the lines printed so far. Nothing may have been printed on standard output."""

    def read():
        out, err = capsys.readouterr()
        assert out == ""
        return err.splitlines()

    return read


def fail():
    raise ValueError(f"can't open {URL}")


def test_a_text_line_has_the_time_the_level_and_the_message(lines):
    set_up_logging("info", "text")
    logging.getLogger("realtime.capture.camera").warning("%s: %d frames lost", "cam0", 3)
    [line] = lines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning cam0: 3 frames lost", line)


def test_a_json_line_is_one_object_with_the_time_in_utc(lines):
    set_up_logging("info", "json")
    logger = logging.getLogger("realtime.capture.camera")
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, "%s: Tür\noffen", ("cam0",), None)
    record.created, record.msecs = 1_700_000_000.5, 500.0
    logger.handle(record)
    [line] = lines()
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "info",
        "logger": "realtime.capture.camera",
        "message": "cam0: Tür\noffen",
    }
    assert "Tür" in line  # not escaped, so that grep finds it


def test_a_json_line_about_a_camera_has_its_name_its_new_state_and_the_reason(lines):
    extra = {"camera": "cam0", "state": "reconnecting", "reason": f"of {URL}", "cause": None, "other": 1}
    for form in ("json", "text"):
        set_up_logging("info", form)
        logging.getLogger("realtime").warning("cam0: lost", extra=extra)
    json_line, text_line = lines()
    data = json.loads(json_line)
    assert list(data) == ["time", "level", "logger", "message", "camera", "state", "reason"]
    assert (data["camera"], data["state"], data["reason"]) == ("cam0", "reconnecting", "of rtsp://***@10.0.0.5/s1")
    assert text_line.endswith(" warning cam0: lost")


def test_a_traceback_follows_a_text_line_and_is_a_key_of_a_json_line(lines):
    for form in ("text", "json"):
        set_up_logging("info", form)
        try:
            fail()
        except ValueError:
            logging.getLogger("realtime").exception("cam0: internal error")
    *text, last = lines()
    assert text[0].endswith(" error cam0: internal error")
    assert text[1] == "  Traceback (most recent call last):"
    data = json.loads(last)
    assert list(data) == ["time", "level", "logger", "message", "traceback"]
    assert data["traceback"].splitlines()[-1].startswith("ValueError: can't open rtsp://***@")


def test_a_library_that_sets_its_own_level_still_logs_errors_only(lines, monkeypatch):
    theirs = logging.getLogger("a_library")
    monkeypatch.setattr(theirs, "level", logging.INFO)
    for level in ("warning", "info", "debug"):
        set_up_logging(level, "text")
        theirs.info("YOLOv8n summary: 72 layers")
        theirs.error("%s: no memory", level)
    assert [line[9:] for line in lines()] == [
        "error warning: no memory",
        "error info: no memory",
        "info YOLOv8n summary: 72 layers",
        "error debug: no memory",
    ]


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_hidden_in_messages_arguments_and_tracebacks(lines, form):
    set_up_logging("info", form, secrets=["tr0ub4dor"])
    logger = logging.getLogger("realtime")
    logger.info("opened %s", URL)
    logger.info("opened " + URL)
    logger.info("the password tr0ub4dor of %s is wrong", {"camera": "tr0ub4dor"})
    try:
        fail()
    except ValueError:
        logger.exception("failed")
    logging.getLogger("av").error("%s: 401 Unauthorized", URL)  # a library's line
    shown = "\n".join(lines())
    assert shown.count("rtsp://***@10.0.0.5/s1") >= 4
    assert "the password *** of {'camera': '***'} is wrong" in shown
    for secret in ("hunter2", "admin", "tr0ub4dor"):
        assert secret not in shown


ODD = "a.mp4\n12:00:00 info forged\r\x1b[31m\x9b\u2028\u2029\x85\u202e\ud800\x7f\tz"
SEEN = r"a.mp4\n12:00:00 info forged\r\x1b[31m\x9b\u2028\u2029\x85\u202e\ud800\x7f\tz"


def test_a_text_line_stays_one_line_and_shows_control_characters_as_escapes(lines):
    set_up_logging("info", "text")
    logging.getLogger("realtime").info("cam0: opened %s", ODD)
    logging.getLogger("a_library").error(ODD)
    ours, theirs = lines()
    assert ours.endswith(f" info cam0: opened {SEEN}")
    assert theirs.endswith(f" error {SEEN}")


def test_a_json_line_stays_one_line_and_keeps_its_text(lines):
    set_up_logging("info", "json")
    logging.getLogger("realtime").info(ODD)
    [line] = lines()
    assert line.isprintable()
    assert json.loads(line)["message"] == ODD


def test_no_line_of_a_traceback_looks_like_a_record(lines):
    set_up_logging("info", "text")
    try:
        raise ValueError("bad\n12:00:00 info forged\u202812:00:01 info forged\x1b[31m")
    except ValueError:
        logging.getLogger("realtime").exception("cam0: internal error", stack_info=True)
    record, *trace = lines()
    assert record.endswith(" error cam0: internal error")
    assert all(line.startswith("  ") and line.isprintable() for line in trace)
    assert "  ValueError: bad" in trace


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_record_whose_arguments_do_not_fit_is_logged_without_them(lines, form):
    class Broken:
        def __str__(self):
            raise RuntimeError(URL)

    set_up_logging("info", form)
    logging.getLogger("realtime").info("%d frames", URL)
    logging.getLogger("realtime").info(Broken())
    first, second = lines()
    assert "%d frames" in first
    assert "Broken" in second
    assert "hunter2" not in first + second


def test_a_warning_of_a_library_is_one_line(lines):
    set_up_logging("debug", "text")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"{URL} is\n12:00:00 info forged", UserWarning, stacklevel=1)
    [line] = lines()
    assert r"rtsp://***@10.0.0.5/s1 is\n12:00:00 info forged" in line


def test_a_line_has_an_end(lines):
    set_up_logging("info", "text")
    logging.getLogger("realtime").info("k" * 1_000_000)
    [line] = lines()
    assert line.endswith("(1,000,014 characters)")
    assert len(line) < 10_000


def test_an_exception_that_nothing_catches_is_logged_without_its_secrets(lines, monkeypatch):
    for hook in ((sys, "excepthook"), (threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(*hook, None)  # undone after the test
    set_up_logging("error", "text")
    log_uncaught()
    try:
        fail()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
        threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))
        sys.unraisablehook(types.SimpleNamespace(exc_type=ValueError, exc_value=error, exc_traceback=None))
    printed = lines()
    assert sum(" critical " in line for line in printed) == 3
    assert sum("ValueError: can't open rtsp://***@10.0.0.5/s1" in line for line in printed) == 3


# The level of the program, and the lowest level at which a line of this package and of a library is shown.
@pytest.mark.parametrize(
    ("level", "ours", "others"),
    [
        ("debug", logging.DEBUG, logging.DEBUG),
        ("info", logging.INFO, logging.ERROR),
        ("warning", logging.WARNING, logging.ERROR),
        ("error", logging.ERROR, logging.ERROR),
    ],
)
def test_the_level_applies_to_this_package_and_libraries_log_errors_only(lines, level, ours, others):
    set_up_logging(level, "text")
    levels = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
    for name, lowest in (("realtime.pipeline", ours), ("a_library", others)):
        for each in levels:
            logging.getLogger(name).log(each, "line")
        assert len(lines()) == sum(each >= lowest for each in levels)


def test_the_last_call_decides_and_no_line_is_printed_twice(lines):
    set_up_logging("debug", "json")
    set_up_logging("warning", "text")
    logging.getLogger("realtime").info("one")
    logging.getLogger("realtime").warning("two")
    assert [line.split(" ", 1)[1] for line in lines()] == ["warning two"]


def test_python_s_warnings_are_logged_only_at_debug(lines):
    for level, shown in (("info", 0), ("debug", 1)):
        set_up_logging(level, "json")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("this is old", DeprecationWarning, stacklevel=1)
        assert sum("this is old" in line for line in lines()) == shown
