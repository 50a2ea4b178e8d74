"""MCAP, read by the mcap library, and checked against the schema that it contains."""

import json
from pathlib import Path

import jsonschema
import numpy as np
from mcap.reader import make_reader

from tests.recordings.convert.recordings import BOXES, NEAR, convert, people, recorded

# foxglove.PointsAnnotation.type
POINTS, LINE_LOOP, LINE_LIST = 1, 2, 4


def read(path: Path) -> list[tuple[str, int, dict]]:
    """The topic, the time and the content of each message."""
    found = []
    with path.open("rb") as file:
        for schema, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            assert (schema.name, schema.encoding) == ("foxglove.ImageAnnotations", "jsonschema")
            assert channel.message_encoding == "json"
            content = json.loads(message.data)
            jsonschema.validate(content, json.loads(schema.data))
            found.append((channel.topic, message.log_time, content))
    return found


def places(annotation: dict) -> list[tuple[float, float]]:
    return [(point["x"], point["y"]) for point in annotation["points"]]


def test_each_frame_is_a_message_with_boxes_limbs_keypoints_and_ids(tmp_path: Path) -> None:
    message = people(0, 1, "mpii16", keypoint_scores=np.float32([[0.9, 0.8, 0.1, 0.7] + 12 * [0.0]]))
    [(topic, time_ns, content)] = read(convert(recorded(tmp_path / "x.jsonl", message), "mcap", tmp_path / "x.mcap"))
    assert (topic, time_ns) == ("/cam0/poses", message.captured_ns)
    assert [text["text"] for text in content["texts"]] == ["1"]
    drawn = {annotation["type"]: places(annotation) for annotation in content["points"]}
    x1, y1, x2, y2 = BOXES[0]
    np.testing.assert_allclose(drawn[LINE_LOOP], [(x1, y1), (x2, y1), (x2, y2), (x1, y2)], atol=NEAR)
    # The centre of the first pixel is 0 for our keypoints, and 0.5 for Foxglove.
    keypoints = message.keypoints_array()[0, :, :2] + 0.5
    np.testing.assert_allclose(drawn[POINTS], keypoints[[0, 1, 3]], atol=NEAR)
    np.testing.assert_allclose(drawn[LINE_LIST], keypoints[[0, 1]], atol=NEAR)
    metadata = {pair["key"]: pair["value"] for pair in content["points"][0]["metadata"]}
    assert metadata == {"track_id": "1", "score": str(round(message.scores[0], 4)), "measured": "true"}
    seconds, nanoseconds = divmod(message.captured_ns, 10**9)
    assert content["points"][0]["timestamp"] == {"sec": seconds, "nsec": nanoseconds}


def test_each_camera_is_a_topic_and_frames_without_people_are_empty(tmp_path: Path) -> None:
    messages = [people(0, 2), people(0, 1, "none", camera="yard"), people(1, 0)]
    found = read(convert(recorded(tmp_path / "x.jsonl", *messages), "mcap", tmp_path / "x.mcap"))
    assert [(topic, len(content["texts"])) for topic, _, content in found] == [
        ("/cam0/poses", 2),
        ("/yard/poses", 1),
        ("/cam0/poses", 0),
    ]
