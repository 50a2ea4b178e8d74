"""The columns of a Parquet recording: messages to rows and back.

Used by recordings.parquet_reading and recordings.parquet_writing. These three import pyarrow, and no other module
imports them before a recording needs them.

`x.parquet` has a row for each person and frame, `x.frames.parquet` one for each message. While a run writes them, both
are one Arrow IPC stream, `x.parquet.open`, with a row for each message and its people in the column `people`. Numbers
keep all their bits, so that the messages can be built again exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, get_args, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from realtime import wire
from realtime.wire.messages import WIRE_FLOAT

# pyarrow has no types.
Rows: TypeAlias = Any  # a table or a record batch
Column: TypeAlias = Any
Schema: TypeAlias = Any
Kind: TypeAlias = Any  # the type of a column

SCHEMA = "pose/1"
# The key of the metadata of a file whose value is SCHEMA.
_MARK = b"realtime-pose"
_METADATA = {_MARK: SCHEMA.encode()}
_CLOCKS = frozenset(get_args(get_type_hints(wire.PoseMessage)["clock"]))
_NUMBERS = {pa.int32(): np.int32, pa.int64(): np.int64, pa.float32(): np.float32, pa.float64(): np.float64}
_FLOATS = pa.list_(pa.field("element", pa.float32(), nullable=False))


def _column(name: str, kind: Kind, nullable: bool = False) -> Column:
    return pa.field(name, kind, nullable=nullable)


# The columns that tell which message a row belongs to. Both files have them.
_KEYS = [
    _column("session", pa.string()),
    _column("camera", pa.string()),
    _column("epoch", pa.int64()),
    _column("seq", pa.int64()),
    _column("frame", pa.int64()),
    _column("captured_ns", pa.int64()),
    _column("media_s", pa.float64(), nullable=True),
]
_PERSON = [
    _column("track_id", pa.int64()),
    _column("score", pa.float64()),
    *(_column(name, pa.float32()) for name in ("x1", "y1", "x2", "y2")),
    _column("measured", pa.bool_()),
    _column("keypoints", _FLOATS),
    _column("raw_keypoints", _FLOATS, nullable=True),
    _column("label", pa.string(), nullable=True),
]
_FRAME = [
    *_KEYS,
    _column("clock", pa.string()),
    _column("published_ns", pa.int64()),
    _column("width", pa.int64()),
    _column("height", pa.int64()),
    _column("skeleton", pa.string()),
    _column("has_raw_keypoints", pa.bool_()),
    _column("has_labels", pa.bool_(), nullable=True),
    _column("timing_ms", pa.map_(pa.string(), pa.field("value", pa.float64(), nullable=False))),
]
_PEOPLE = pa.struct(_PERSON)
# Columns that recordings of earlier versions lack. Null stands for their values.
_NEW = frozenset({"label", "has_labels"})

# The columns of x.parquet, x.frames.parquet and x.parquet.open.
PEOPLE = pa.schema([*_KEYS, *_PERSON], metadata=_METADATA)
FRAMES = pa.schema([*_FRAME, _column("people", pa.int32())], metadata=_METADATA)
OPEN = pa.schema([*_FRAME, _column("people", pa.list_(pa.field("element", _PEOPLE, nullable=False)))], _METADATA)


def check(schema: Schema, expected: Schema) -> None:
    """Check that a file has the columns of a recording, in any order. It may have others, too.

    Raises:
        ValueError: it has not, or a newer version wrote it. The message is the reason.
    """
    mark = (schema.metadata or {}).get(_MARK, SCHEMA.encode()).decode(errors="replace")
    if mark != SCHEMA:
        raise ValueError(f"written by a newer program (schema {mark}, this one reads {SCHEMA}): use its version")
    missing = [name for name in expected.names if schema.names.count(name) != 1 and name not in _NEW]
    if missing:
        raise ValueError(f"has no column {missing[0]!r}, expected a file of --record")


def conform(batch: Rows, expected: Schema) -> Rows:
    """Return rows with exactly the expected columns. Another program may have changed their order and types.

    Raises:
        ValueError: a value is missing, or has another type.
    """
    table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
    for name in _NEW.intersection(expected.names).difference(table.column_names):
        table = table.append_column(name, pa.nulls(table.num_rows))
    table = table.select(expected.names)
    for field in expected:
        if not field.nullable and table.column(field.name).null_count:
            raise ValueError(f"column {field.name!r}: a value is missing")
    return table.cast(expected)


# ---- messages to rows


def to_rows(messages: Sequence[wire.PoseMessage]) -> Rows:
    """Convert messages to a record batch with the columns of OPEN."""
    plain = [name for name in OPEN.names if name in wire.PoseMessage.__struct_fields__ and name != "timing_ms"]
    columns = {name: [getattr(message, name) for message in messages] for name in plain}
    columns["width"], columns["height"] = ([message.size[side] for message in messages] for side in (0, 1))
    columns["has_raw_keypoints"] = [message.raw_keypoints is not wire.UNSET for message in messages]
    columns["has_labels"] = [message.labels is not wire.UNSET for message in messages]
    arrays = [_array(columns[field.name], field.type) for field in _FRAME if field.name != "timing_ms"]
    arrays.append(_timings(messages))
    counts = [len(message.track_ids) for message in messages]
    people = pa.ListArray.from_arrays(_offsets(counts), _people(messages, counts), type=OPEN.field("people").type)
    return pa.RecordBatch.from_arrays([*arrays, people], schema=OPEN)


def _people(messages: Sequence[wire.PoseMessage], counts: list[int]) -> Column:
    boxes = np.frombuffer(b"".join(message.boxes for message in messages), WIRE_FLOAT).reshape(-1, 4)
    raw = [b"" if message.raw_keypoints is wire.UNSET else message.raw_keypoints for message in messages]
    has_raw = np.repeat(np.array([message.raw_keypoints is not wire.UNSET for message in messages], bool), counts)
    columns = [
        _array([each for message in messages for each in message.track_ids], pa.int64()),
        _array([each for message in messages for each in message.scores], pa.float64()),
        *(_array(boxes[:, column], pa.float32()) for column in range(4)),
        _array([each for message in messages for each in message.measured], pa.bool_()),
        _lists([message.keypoints for message in messages], counts),
        _lists(raw, counts, _array(~has_raw, pa.bool_())),
        _array([each for message in messages for each in _labels(message)], pa.string()),
    ]
    return pa.StructArray.from_arrays(columns, fields=_PERSON)


def _labels(message: wire.PoseMessage) -> Sequence[str | None]:
    return [None] * len(message.track_ids) if message.labels is wire.UNSET else message.labels


def _timings(messages: Sequence[wire.PoseMessage]) -> Column:
    stages = _array([stage for message in messages for stage in message.timing_ms], pa.string())
    times_ms = _array([ms for message in messages for ms in message.timing_ms.values()], pa.float64())
    return pa.MapArray.from_arrays(
        _offsets([len(message.timing_ms) for message in messages]), stages, times_ms, FRAMES.field("timing_ms").type
    )


def _lists(parts: list[bytes], counts: list[int], mask: Column = None) -> Column:
    """Give each person of a message an equal share of its numbers."""
    lengths = [len(part) // (WIRE_FLOAT.itemsize * max(1, count)) for part, count in zip(parts, counts, strict=True)]
    values = np.frombuffer(b"".join(parts), WIRE_FLOAT)
    offsets = _offsets(np.repeat(np.array(lengths, np.int64), counts))
    return pa.ListArray.from_arrays(offsets, _array(values, pa.float32()), type=_FLOATS, mask=mask)


def _offsets(lengths: Sequence[int] | NDArray[np.int64]) -> Column:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return _array(offsets, pa.int32())


def _array(values: Sequence[object] | NDArray[np.generic], kind: Kind) -> Column:
    """Build a column from its bytes. pa.array would import pandas, if installed, while frames are waiting."""
    count = len(values)
    if kind == pa.bool_():
        return pa.Array.from_buffers(kind, count, [None, _bits(np.array(values, bool))])
    valid = None
    if isinstance(values, list) and None in values:
        valid = _bits(np.array([value is not None for value in values]))
        values = [("" if kind == pa.string() else 0) if value is None else value for value in values]
    if kind == pa.string():
        texts = [str(value).encode() for value in values]
        offsets = _offsets([len(text) for text in texts]).buffers()[1]
        return pa.StringArray.from_buffers(count, offsets, pa.py_buffer(b"".join(texts)), valid)
    numbers = np.ascontiguousarray(values, _NUMBERS[kind])
    return pa.Array.from_buffers(kind, count, [valid, pa.py_buffer(numbers)])


def _bits(flags: NDArray[np.bool_]) -> Column:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Split rows of OPEN into those of PEOPLE and FRAMES."""
    people = rows.column("people").combine_chunks()
    counts = pc.list_value_length(people)
    keys = rows.select([field.name for field in _KEYS]).take(pc.list_parent_indices(people))
    persons = people.flatten().flatten()
    frames = rows.drop_columns(["people"]).append_column(FRAMES.field("people"), counts.cast(pa.int32()))
    return pa.Table.from_arrays([*keys.columns, *persons], schema=PEOPLE), frames.cast(FRAMES)


# ---- rows to messages


def to_messages(frames: Rows, people: Rows) -> Iterator[wire.PoseMessage]:
    """Build messages again.

    Args:
        frames: rows of FRAMES.
        people: the rows of PEOPLE of the same messages, in the same order.

    Raises:
        ValueError: a message is inconsistent, or the two do not belong together.
    """
    columns = {name: frames.column(name).to_pylist() for name in FRAMES.names}
    names = "session", "camera", "seq", "track_id", "score", "measured", "label"
    of_people = {name: people.column(name).to_pylist() for name in names}
    boxes = np.stack([people.column(name).to_numpy() for name in ("x1", "y1", "x2", "y2")], axis=1)
    boxes = np.ascontiguousarray(boxes, WIRE_FLOAT)
    keypoints, raw = _Numbers(people.column("keypoints")), _Numbers(people.column("raw_keypoints"))
    end = 0
    for row, count in enumerate(columns["people"]):
        begin, end = end, end + count
        fields = {name: values[row] for name, values in columns.items()}
        for key in ("session", "camera", "seq") if count else ():
            if of_people[key][begin] != fields[key] or of_people[key][end - 1] != fields[key]:
                raise ValueError(f"{key}: got {of_people[key][begin]!r} in one file and {fields[key]!r} in the other")
        if fields["clock"] not in _CLOCKS:
            raise ValueError(f"clock: got {fields['clock']!r}")
        yield wire.PoseMessage(
            **{name: fields[name] for name in ("session", "camera", "epoch", "seq", "frame", "captured_ns", "clock")},
            **{name: fields[name] for name in ("published_ns", "media_s", "skeleton")},
            size=(fields["width"], fields["height"]),
            track_ids=of_people["track_id"][begin:end],
            scores=of_people["score"][begin:end],
            labels=of_people["label"][begin:end] if fields["has_labels"] else wire.UNSET,
            boxes=boxes[begin:end].tobytes(),
            keypoints=keypoints.part(begin, end),
            measured=of_people["measured"][begin:end],
            timing_ms=dict(fields["timing_ms"]),
            raw_keypoints=raw.part(begin, end) if fields["has_raw_keypoints"] else wire.UNSET,
        )


class _Numbers:
    """A column with a list of numbers for each person."""

    def __init__(self, column: Column) -> None:
        lists = column.combine_chunks()
        self._offsets = lists.offsets.to_numpy()
        self._values = np.ascontiguousarray(lists.values.to_numpy(), WIRE_FLOAT)

    def part(self, begin: int, end: int) -> bytes:
        """Return the numbers of some people, as in a message."""
        return self._values[self._offsets[begin] : self._offsets[end]].tobytes()
