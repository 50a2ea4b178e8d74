"""The columns of a Parquet recording: every message comes back as it was, bit by bit."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime import wire
from realtime.recordings.parquet import FRAMES, OPEN, PEOPLE, check, conform, split, to_messages, to_rows
from tests.wire.examples import pose

FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
INTEGER = st.integers(-(2**63), 2**63 - 1)


@st.composite
def messages(draw: st.DrawFn) -> wire.PoseMessage:
    """Any message: the number of keypoints may differ from one to the next."""
    n, k = draw(st.integers(0, 4)), draw(st.sampled_from([0, 1, 17]))
    fill = np.random.default_rng(draw(st.integers(0, 9))).random((n, k, 2), np.float32)
    changes: dict[str, object] = {"raw_keypoints": fill} if draw(st.booleans()) else {}
    return pose(
        n, k, **changes,
        session=draw(st.text(max_size=3)), camera=draw(st.sampled_from(["a", "b"])), epoch=draw(INTEGER),
        seq=draw(INTEGER), frame=draw(INTEGER), captured_ns=draw(INTEGER), published_ns=draw(INTEGER),
        clock=draw(st.sampled_from(["arrival", "rtcp", "playlist"])), size=(draw(INTEGER), draw(INTEGER)),
        media_s=draw(st.none() | st.floats(allow_nan=False, allow_infinity=False)), skeleton=draw(st.text(max_size=3)),
        track_ids=draw(st.lists(INTEGER, min_size=n, max_size=n)),
        measured=draw(st.lists(st.booleans(), min_size=n, max_size=n)),
        scores=draw(st.lists(st.floats(0, 1), min_size=n, max_size=n)),
        labels=draw(st.just(wire.UNSET) | st.lists(st.text(max_size=3), min_size=n, max_size=n)),
        boxes=np.array(draw(st.lists(FLOAT32, min_size=4 * n, max_size=4 * n)), np.float32).reshape(n, 4),
        timing_ms=draw(st.dictionaries(st.text(max_size=3), FLOAT32, max_size=3)),
    )  # fmt: skip


@settings(deadline=None, max_examples=20)
@given(st.lists(messages(), max_size=5))
def test_messages_come_back_as_they_were(sent: list[wire.PoseMessage]) -> None:
    people, frames = split(pa.Table.from_batches([to_rows(sent)]))
    assert people.num_rows == sum(len(message.track_ids) for message in sent)
    assert list(to_messages(frames, people)) == sent


def test_a_recording_of_an_earlier_version_has_no_labels() -> None:
    people, frames = split(pa.Table.from_batches([to_rows([pose()])]))
    people, frames = people.drop_columns(["label"]), frames.drop_columns(["has_labels"])
    for rows, columns in ((frames, FRAMES), (people, PEOPLE)):
        check(rows.schema, columns)
    assert list(to_messages(conform(frames, FRAMES), conform(people, PEOPLE))) == [pose()]


def test_every_key_of_a_message_has_a_column() -> None:
    renamed = {"track_ids": "track_id", "scores": "score", "labels": "label"}
    renamed |= {"boxes": "x1", "size": "width", "schema": "session"}
    keys = {renamed.get(key, key) for key in wire.PoseMessage.__struct_fields__}
    assert keys <= {*PEOPLE.names, *FRAMES.names}


# What another program did to a file, and how the error begins.
FOREIGN = {
    "another table": (lambda rows: rows.rename_columns([f"{name}_" for name in rows.column_names]), "has no column"),
    "a newer program": (lambda rows: rows.replace_schema_metadata({"realtime-pose": "pose/2"}), "written by a newer"),
    "a value is missing": (lambda rows: rows.set_column(0, "session", pa.nulls(rows.num_rows)), "column 'session': a"),
    "another type": (lambda rows: rows.set_column(1, "camera", pa.array([["a"]] * rows.num_rows)), "cast"),
}


@pytest.mark.parametrize(("change", "told"), FOREIGN.values(), ids=FOREIGN)
def test_what_another_program_made_of_it_is_refused(change, told) -> None:
    rows = change(pa.Table.from_batches([to_rows([pose()])]))
    with pytest.raises((ValueError, pa.ArrowException), match=told):
        (check(rows.schema, OPEN), conform(rows, OPEN))


def test_other_types_and_orders_of_the_same_values_are_read() -> None:
    people, frames = split(pa.Table.from_batches([to_rows([pose()])]))
    frames = frames.select(frames.column_names[::-1]).append_column("note", pa.array(["x"]))
    frames = frames.set_column(0, "people", frames.column("people").cast(pa.int64()))
    people = people.set_column(1, "camera", people.column("camera").dictionary_encode())
    for rows, columns in ((frames, FRAMES), (people, PEOPLE)):
        check(rows.schema, columns)
    assert list(to_messages(conform(frames, FRAMES), conform(people, PEOPLE))) == [pose()]


def test_files_that_do_not_belong_together_are_noticed() -> None:
    _, frames = split(pa.Table.from_batches([to_rows([pose(seq=1)])]))
    people, _ = split(pa.Table.from_batches([to_rows([pose(seq=2)])]))
    with pytest.raises(ValueError, match="seq: got 2 in one file and 1 in the other"):
        list(to_messages(frames, people))
