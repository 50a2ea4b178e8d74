"""The configuration as YAML: that of a run (`--print-config`), and all defaults (configs/default.yaml)."""

from __future__ import annotations

import codecs
import re
import textwrap
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from realtime.config.camera import CameraConfig
from realtime.config.keys import placeholder_of
from realtime.config.sections import AppConfig
from realtime.config.texts import Section
from realtime.redact import shown


def without_secrets(config: AppConfig) -> dict[str, Any]:
    """The configuration as plain data, with passwords and tokens replaced with ***."""
    data = config.model_dump(mode="json")
    for camera in data["cameras"]:
        camera["source"] = shown(camera["source"])
    return data


def to_yaml(config: AppConfig, encoding: str = "utf-8") -> str:
    """The configuration as YAML that `load` can read, with passwords and tokens replaced with ***.

    Args:
        config: the configuration.
        encoding: of the stream that it is written to. If it isn't UTF-8, other characters than ASCII are escaped.
    """
    data = without_secrets(config)
    text = _dump(data, allow_unicode=codecs.lookup(encoding).name == "utf-8")
    # A name may hold characters that change how a terminal shows it. YAML has escapes for them.
    return text if text.replace("\n", "").isprintable() else _dump(data)


class _Dumper(yaml.SafeDumper):
    """A SafeDumper whose texts are the same text for every reader of YAML, of version 1.1 and of 1.2."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Quote what a reader may take for a number, a boolean, a date or null: 010, 0o7, 12:30, y, ~."""
    is_plain = re.match(r"[A-Za-z_/]", text) and text.lower() not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else "'")


# Characters of a line; longer ones would be wrapped. A polygon of 1,000 corners is shorter.
_WIDE = 100_000
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"}
_Dumper.add_representer(str, _text)


def _list(dumper: _Dumper, items: list[object]) -> yaml.SequenceNode:
    """Write a list of numbers, and one of pairs of numbers such as a polygon, on one line: [[0, 0], [40, 0]]."""
    is_short = all(_is_numbers(item) for item in items) or _is_numbers(items)
    numbers = [int(item) if isinstance(item, float) and item.is_integer() else item for item in items]
    return dumper.represent_sequence("tag:yaml.org,2002:seq", numbers, flow_style=is_short or None)


def _is_numbers(item: object) -> bool:
    return isinstance(item, list) and all(isinstance(each, int | float) for each in item)


_Dumper.add_representer(list, _list)


def _dump(data: object, allow_unicode: bool = False, is_flow: bool = False) -> str:
    text = yaml.dump(
        data, None, _Dumper, sort_keys=False, allow_unicode=allow_unicode, default_flow_style=is_flow, width=_WIDE
    )
    return str(text)


def commented_yaml() -> str:
    """The text of configs/default.yaml: every key with its description and its default."""
    lines = [
        "# Every key with its default; null means unset. Keys that you leave out keep their defaults.",
        "# Each key is also a flag (--pose.model) and an environment variable (REALTIME_POSE__MODEL).",
        "# Order: defaults < preset < files (--config, repeatable) < environment < flags.",
        "# Written by `python -m realtime.config`.",
    ]
    for name, info in AppConfig.model_fields.items():
        if isinstance(info.default, Section):
            lines += ["", f"{name}:  # {(type(info.default).__doc__ or '').strip()}"]
            lines += [
                line for key, field in type(info.default).model_fields.items() for line in _line(key, field, "  ")
            ]
        else:
            lines += _line(name, info, "")
        if name == "cameras":
            lines += _camera_lines()
    return "\n".join(lines) + "\n"


def _camera_lines() -> list[str]:
    """Every key of a camera, as comments: no camera is configured by default."""
    lines = ["#", "# - name: door", "#   source: rtsp://10.0.0.5/stream1", "#"]
    for key, info in CameraConfig.model_fields.items():
        if not info.is_required():
            lines += ["#" + line for line in _line(key, info, "   ")]
    return lines


def _line(key: str, info: FieldInfo, indent: str) -> list[str]:
    value = _dump(info.default, is_flow=True).removesuffix("\n...\n").strip()
    choices = placeholder_of(info.annotation)
    comment = f"{info.description} ({choices})" if "|" in choices and info.annotation is not bool else info.description
    prefix = f"{indent}# "
    return [
        *textwrap.wrap(comment or "", 110, initial_indent=prefix, subsequent_indent=prefix, break_on_hyphens=False),
        f"{indent}{key}: {value}",
    ]
