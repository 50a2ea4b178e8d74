"""People as Foxglove's ImageAnnotations, in JSON, and the schema of that (foxglove-sdk, schemas/jsonschema).

Used by mcap. Foxglove measures from the outer corner of the top left pixel, whose centre is thus at 0.5. Our boxes are
measured like this too. Keypoints, as in COCO's annotations, are 0 at the centre of the first pixel (pose.crop).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from realtime import wire
from realtime.publish.palette import VISIBLE, colour_of

SCHEMA_NAME = "foxglove.ImageAnnotations"
# From the centre of a pixel to its outer edge.
HALF_PIXEL = 0.5
_POINTS, _LINE_LOOP, _LINE_LIST = 1, 2, 4
_THICKNESS, _DOT, _FONT_SIZE = 2.0, 5.0, 14.0
_CLEAR = {"r": 0.0, "g": 0.0, "b": 0.0, "a": 0.0}
_DARK = {"r": 0.0, "g": 0.0, "b": 0.0, "a": 0.6}
_WHITE = {"r": 1.0, "g": 1.0, "b": 1.0, "a": 1.0}

_Json = dict[str, Any]  # Any: JSON


def image_annotations(message: wire.PoseMessage, edges: Sequence[Sequence[int]]) -> _Json:
    """Return the ImageAnnotations of a frame. Keypoints with a low score, which are guesses, are left out.

    Args:
        message: its people.
        edges: pairs of keypoint indices to connect.
    """
    moment = {"sec": max(0, message.captured_ns) // 10**9, "nsec": max(0, message.captured_ns) % 10**9}
    drawn: list[_Json] = []
    texts: list[_Json] = []
    boxes, keypoints = message.boxes_array().tolist(), message.keypoints_array().tolist()
    for i, (track_id, (x1, y1, x2, y2), points) in enumerate(zip(message.track_ids, boxes, keypoints, strict=True)):
        blue, green, red = (value / 255 for value in colour_of(track_id))
        colour = {"r": red, "g": green, "b": blue, "a": 1.0}
        about = {"track_id": track_id, "score": round(message.scores[i], 4), "measured": message.measured[i]}
        metadata = [{"key": key, "value": str(value).lower()} for key, value in about.items()]
        name = str(track_id)
        if message.labels is not wire.UNSET:
            name += f" {message.labels[i]}"
            metadata.append({"key": "label", "value": message.labels[i]})
        seen = {k: _point(x + HALF_PIXEL, y + HALF_PIXEL) for k, (x, y, score) in enumerate(points) if score >= VISIBLE}
        limbs = [seen[end] for edge in edges if set(edge) <= seen.keys() for end in edge]
        corners = [_point(x1, y1), _point(x2, y1), _point(x2, y2), _point(x1, y2)]
        for kind, places, thickness in (
            (_LINE_LOOP, corners, _THICKNESS),
            (_LINE_LIST, limbs, _THICKNESS),
            (_POINTS, list(seen.values()), _DOT),
        ):
            if places:
                drawn.append({
                    "timestamp": moment, "type": kind, "points": places, "outline_color": colour, "outline_colors": [],
                    "fill_color": _CLEAR, "thickness": thickness, "metadata": metadata,
                })  # fmt: skip
        texts.append({
            "timestamp": moment, "position": _point(x1, y1), "text": name, "font_size": _FONT_SIZE,
            "text_color": _WHITE, "background_color": _DARK, "metadata": metadata,
        })  # fmt: skip
    return {"circles": [], "points": drawn, "texts": texts}


def _point(x: float, y: float) -> _Json:
    return {"x": round(x, 3), "y": round(y, 3)}


# ---- the schema


def _object(title: str, **properties: _Json) -> _Json:
    return {"title": title, "type": "object", "properties": properties, "required": list(properties)}


def _list(items: _Json) -> _Json:
    return {"type": "array", "items": items}


_NUMBER, _TEXT = {"type": "number"}, {"type": "string"}
_TIME = {
    "type": "object",
    "title": "time",
    "properties": {
        "sec": {"type": "integer", "minimum": 0},
        "nsec": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    },
}
_POINT = _object("foxglove.Point2", x=_NUMBER, y=_NUMBER)
_COLOUR = _object("foxglove.Color", r=_NUMBER, g=_NUMBER, b=_NUMBER, a=_NUMBER)
_METADATA = _list(_object("foxglove.KeyValuePair", key=_TEXT, value=_TEXT))
_KIND = {
    "title": "foxglove.PointsAnnotationType",
    "oneOf": [
        {"title": title, "const": number}
        for number, title in enumerate(("UNKNOWN", "POINTS", "LINE_LOOP", "LINE_STRIP", "LINE_LIST"))
    ],
}
SCHEMA = _object(
    SCHEMA_NAME,
    circles=_list(
        _object(
            "foxglove.CircleAnnotation",
            timestamp=_TIME,
            position=_POINT,
            diameter=_NUMBER,
            thickness=_NUMBER,
            fill_color=_COLOUR,
            outline_color=_COLOUR,
            metadata=_METADATA,
        )
    ),
    points=_list(
        _object(
            "foxglove.PointsAnnotation",
            timestamp=_TIME,
            type=_KIND,
            points=_list(_POINT),
            outline_color=_COLOUR,
            outline_colors=_list(_COLOUR),
            fill_color=_COLOUR,
            thickness=_NUMBER,
            metadata=_METADATA,
        )
    ),
    texts=_list(
        _object(
            "foxglove.TextAnnotation",
            timestamp=_TIME,
            position=_POINT,
            text=_TEXT,
            font_size=_NUMBER,
            text_color=_COLOUR,
            background_color=_COLOUR,
            metadata=_METADATA,
        )
    ),
)
