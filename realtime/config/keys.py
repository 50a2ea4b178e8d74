"""The keys as a list, by their dotted names: for flags, --help, error messages and configs/default.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args, get_origin

from pydantic import BaseModel

from realtime.config.camera import CameraConfig
from realtime.config.sections import AppConfig
from realtime.config.texts import Section


class Key(NamedTuple):
    """One key of the configuration."""

    name: str  # with dots: "pose.model"
    kind: object  # its type annotation
    default: object
    description: str
    placeholder: str  # stands for the value in --help: "NAME|PATH"
    is_required: bool


def leaves(model: type[BaseModel] = AppConfig, prefix: str = "") -> Iterator[Key]:
    """Every key, in the order of declaration."""
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            default = None if info.is_required() else info.default
            placeholder = info.title or placeholder_of(kind)
            yield Key(f"{prefix}{name}", kind, default, info.description or "", placeholder, info.is_required())


def sections() -> dict[str, str]:
    """The name and description of each section of the configuration."""
    kinds = {name: info.annotation for name, info in AppConfig.model_fields.items()}
    return {
        name: (kind.__doc__ or "").partition("\n")[0]  # python -OO leaves out all descriptions
        for name, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, Section)
    }


def placeholder_of(kind: object) -> str:
    """The placeholder for a value of this type in --help: its choices or its type."""
    if get_origin(kind) is Literal:
        return "|".join(str(choice) for choice in get_args(kind))
    if get_args(kind):  # a list, or optional
        return placeholder_of(get_args(kind)[0])
    return {bool: "true|false", int: "N", float: "NUMBER", Path: "PATH"}.get(cast(Any, kind), "TEXT")


def is_repeatable(kind: object) -> bool:
    """Whether a key of this type is a list of plain values, so that its flag can be repeated."""
    return get_origin(kind) is list and kind != list[CameraConfig]


def changes(before: AppConfig, after: AppConfig) -> list[str]:
    """The dotted names of the keys whose values differ."""
    return [key.name for key in leaves() if attrgetter(key.name)(before) != attrgetter(key.name)(after)]
