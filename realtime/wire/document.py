# SPDX-License-Identifier: MIT
"""The generated part of the stream's documentation: `python -m realtime.wire.document` writes it.

It writes docs/wire.schema.json and the tables of docs/wire.md, from the structs in `messages` and the skeletons whose
keypoints are known without a model's files. Run it in the root of the repository; `make docs` does.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from realtime.skeleton import COCO17, Skeleton
from realtime.skeletons import SKELETONS
from realtime.wire.messages import (
    OPTIONAL,
    InfoMessage,
    Message,
    PictureMessage,
    PoseMessage,
    PoseMessageJson,
    StatusMessage,
)


def json_schema() -> bytes:
    """Return the content of docs/wire.schema.json: the JSON Schema of the messages in their JSON form.

    All keys except those in OPTIONAL are required, because they are always sent.
    """
    references, definitions = msgspec.json.schema_components(
        [PoseMessageJson, InfoMessage, StatusMessage, PictureMessage]
    )
    for definition in definitions.values():
        definition["required"] = [key for key in definition["properties"] if key not in OPTIONAL]
        definition["properties"].get("schema", {}).pop("default", None)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "realtime-pose stream, JSON form",
        "anyOf": list(references),
        "$defs": definitions,
    }
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def with_tables(markdown: str) -> str:
    """Return the text of docs/wire.md with its tables replaced, each between `<!-- NAME -->` and `<!-- /NAME -->`.

    Raises:
        ValueError: the text lacks one of these lines.
    """
    kinds = (PoseMessage, InfoMessage, StatusMessage, PictureMessage)
    tables = {kind.__name__: _table(kind) for kind in kinds} | {COCO17.name: _names(), "skeletons": _skeletons()}
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = markdown.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"wire.md: expected the lines {begin.strip()} and {end}")
        markdown = before + begin + table + end + after
    return markdown


def _names() -> str:
    """The keypoints of coco17 by index. Left and right stand side by side."""
    left_of = {right: left for left, right in COCO17.flip_pairs}
    rights = {left: right for right, left in left_of.items()}
    lines = ["| index | keypoint | index | keypoint |", "|---|---|---|---|"]
    for index, name in enumerate(COCO17.keypoint_names):
        if index not in left_of:
            right = rights.get(index)
            other = "| | |" if right is None else f"| {right} | `{COCO17.keypoint_names[right]}` |"
            lines.append(f"| {index} | `{name}` {other}")
    return "\n".join(lines) + "\n"


def _skeletons() -> str:
    """The keypoints of the other published sets, one row per set."""
    lines = ["| skeleton | K | names by index |", "|---|---|---|"]
    for skeleton in SKELETONS.values():
        if skeleton is not COCO17:
            lines.append(f"| `{skeleton.name}` | {len(skeleton)} | {'; '.join(_runs(skeleton))} |")
    return "\n".join(lines) + "\n"


def _runs(skeleton: Skeleton) -> Iterator[str]:
    """The names by index. Those of COCO's and numbered names, such as those of a finger, are put together."""
    names = list(enumerate(skeleton.keypoint_names))
    if skeleton.keypoint_names[: len(COCO17)] == COCO17.keypoint_names:
        yield f"0-{len(COCO17) - 1} as `{COCO17.name}`"
        names = names[len(COCO17) :]
    for stem, group in itertools.groupby(names, lambda item: re.sub(r"\d+$", "", item[1])):
        (first, begin), *_, (last, end) = run = [*group] * 2
        is_one = len(run) == 2
        yield f"{first} `{begin}`" if is_one else f"{first}-{last} `{begin}` to `{end.removeprefix(stem)}`"


def _table(kind: type[Message]) -> str:
    lines = ["| key | type | meaning |", "|---|---|---|"]
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    for field in info.fields:
        assert isinstance(field.type, msgspec.inspect.Metadata)
        assert field.type.extra_json_schema
        meaning = field.type.extra_json_schema["description"]
        lines.append(f"| `{field.name}` | {_type_name(field.type)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _type_name(kind: msgspec.inspect.Type) -> str:
    """Return the name of a type in the words of msgpack."""
    match kind:
        case msgspec.inspect.Metadata(type=inner):
            return _type_name(inner)
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(_type_name(t) for t in types)
        case msgspec.inspect.ListType(item_type=item):
            return f"[{_type_name(item)}]"
        case msgspec.inspect.TupleType(item_types=items):
            return f"[{', '.join(_type_name(t) for t in items)}]"
    names = {"IntType": "int", "FloatType": "float", "BoolType": "bool", "StrType": "str", "LiteralType": "str"}
    names |= {"BytesType": "bin", "DictType": "map", "StructType": "map", "NoneType": "nil"}
    return names[type(kind).__name__]


def write_docs(folder: Path) -> None:
    """Write wire.schema.json, and update the tables of wire.md."""
    page = folder / "wire.md"
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "wire.schema.json").write_bytes(json_schema())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit("usage: python -m realtime.wire.document    (in the root of the repository)")
    write_docs(Path("docs"))
