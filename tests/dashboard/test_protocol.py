"""The messages of web/1 and docs/wire.md say the same."""

import json
import re

import msgspec
import pytest

from realtime import wire
from realtime.dashboard import protocol
from realtime.dashboard.events import Event
from realtime.dashboard.frames import Frame
from realtime.dashboard.records import camera_record, details_record
from tests.dashboard.sample import camera
from tests.wire import publisher

SECTION = (
    (publisher.ROOT / "docs" / "wire.md").read_text().partition("## The live page: web/1")[2].partition("\n## ")[0]
)


def keys_in(text):
    return set(re.findall(r"`(\w+)`", text))


def row(kind):
    return re.search(rf"^\| `{kind}` \|.*$", SECTION, re.MULTILINE)[0]


def test_the_record_of_a_camera_has_the_documented_keys():
    table = SECTION.partition("The record of a camera:")[2].partition("A **frame**")[0]
    documented = {key for line in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for key in keys_in(line)}
    assert set(camera_record(camera())) == documented


def test_a_frame_has_the_documented_keys():
    table = SECTION.partition("A **frame**")[2].partition("### To the dashboard")[0]
    documented = {key for line in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for key in keys_in(line)}
    record = Frame(camera(), publisher.pose(), None, None, False)._record()
    assert {*record, "age_ms"} == documented
    assert set(record["people"][0]) <= keys_in(table)


def test_details_and_events_have_the_documented_keys():
    assert {*details_record(camera())} <= keys_in(row("details"))
    assert {*Event.__struct_fields__} <= keys_in(row("event"))


@pytest.mark.parametrize("kind", [protocol.Watch, protocol.Shown, protocol.Details, protocol.Ping])
def test_messages_to_the_dashboard_have_the_documented_keys(kind):
    assert {*kind.__struct_fields__} <= keys_in(row(kind.__struct_config__.tag))


def test_details_hold_the_messages_with_all_their_keys():
    watched = camera()
    watched.status, watched.info = publisher.status(), publisher.info()
    said = json.loads(protocol.encode("details", **details_record(watched)))
    assert said["status"] == json.loads(wire.encode(watched.status, "json"))
    assert said["info"] == json.loads(wire.encode(watched.info, "json"))


def test_a_record_is_json_whatever_is_known():
    watched = camera()
    for message, field in ((publisher.pose(), "pose"), (publisher.status(), "status"), (publisher.info(), "info")):
        setattr(watched, field, message)
        assert msgspec.json.decode(protocol.encode("camera", **camera_record(watched)))["name"] == "cam0"
