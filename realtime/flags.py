"""The flags of the command line, and their help.

`cli` parses its arguments here. Each configuration key is a flag by its dotted name (`--pose.model`).
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from realtime import __version__
from realtime.config import CameraConfig, Key, former_keys, is_repeatable, leaves, parse_source, sections
from realtime.errors import ConfigError
from realtime.home import home_path
from realtime.stdout import write_out
from realtime.tools import TOOLS

PROGRAM = "realtime-pose"

# The flags that a new user needs, in this order. `--help` shows them first.
_MOST_USED = [
    "source", "config", "preset", "device", "detector.weights", "pose.model", "realtime", "web", "publish.bind",
    "record", "dry_run", "print_config",
]  # fmt: skip
_OPTIONAL_GROUP = {"nargs": "?", "const": "", "metavar": "GROUP"}
_TOOLS_HELP = f"Separate programs, run as `{PROGRAM} TOOL ...`. Each has its own --help."
_CAMERA_HELP = "Keys of one entry of `cameras` in a YAML file (--config). They have no flags."


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, dict[str, object]]:
    """Parse the command line.

    Args:
        argv: the arguments after the program's name.

    Returns:
        The program's own flags (config: list of Path, dry_run, print_config: bool), and the configuration keys that
        were set by flags: dotted key to text, a list of texts, or a list of cameras.

    Raises:
        ConfigError: a flag is unknown, lacks its value, or is repeated where it may not be.
        SystemExit: --help or --version was printed.

    Example:
        >>> own, keys = parse(["--source", "door=rtsp://10.0.0.5/s1", "--pose.input_size=384x288"])
        >>> keys
        {'pose.input_size': '384x288', 'cameras': [{'name': 'door', 'source': 'rtsp://10.0.0.5/s1'}]}
    """
    parser = _Parser(PROGRAM, allow_abbrev=False, add_help=False)
    for flag in _all_flags():
        flag.add_to(parser)
    options = [option for action in parser._actions for option in action.option_strings]
    for key in former_keys():
        _Flag.of_key(key).add_to(parser)
    arguments, rest = parser.parse_known_args([_dashed(word) for word in argv])
    if rest:
        raise ConfigError(_unknown(rest[0], options))
    keys = [*leaves(), *former_keys()]
    flags = {key.name: value for key in keys if (value := getattr(arguments, key.name)) is not None}
    if arguments.source:
        flags["cameras"] = [parse_source(text, position) for position, text in enumerate(arguments.source)]
    return arguments, flags


def help_text(group: str = "") -> str:
    """The text of `--help [GROUP]`.

    Args:
        group: a section ("pose"), a key of one ("pose.model"), "cameras", or "" for all flags.

    Raises:
        ConfigError: there is no such group.
    """
    group = group.partition(".")[0].lstrip("-")
    flags = list(_all_flags())
    out = argparse.HelpFormatter(PROGRAM, max_help_position=28)
    if group == "cameras":
        _add_section(out, "cameras", _CAMERA_HELP, (_Flag.of_camera(key) for key in leaves(CameraConfig)))
        return out.format_help()
    if group and group not in sections():
        raise ConfigError(f"--help: got {group!r}, expected one of {', '.join([*sections(), 'cameras'])}")
    if not group:
        out.add_usage("%(prog)s --source [NAME=]SRC [flags]", [], [])
        out.add_text("Real-time multi-person pose tracking: video in, smooth skeletons with track ids out over ZeroMQ.")
        first = sorted((f for f in flags if f.name in _MOST_USED), key=lambda flag: _MOST_USED.index(flag.name))
        _add_section(out, "most used", "", first)
        flags = [flag for flag in flags if flag not in first]
        _add_section(out, "general", "", (flag for flag in flags if "." not in flag.name))
    for name, description in sections().items():
        if group in ("", name):
            _add_section(out, name, description, (flag for flag in flags if flag.name.startswith(f"{name}.")))
    if not group:
        _add_section(out, "tools", _TOOLS_HELP, (_Flag.of_tool(word, text) for word, text in TOOLS.items()))
        out.add_text(
            "Each key of a configuration file, except the per-camera keys, is also a flag and an environment variable "
            "(REALTIME_POSE__MODEL). Order: defaults < preset < files (--config) < environment < flags. An empty value "
            "unsets a key."
        )
        out.add_text(
            "A variable is REALTIME_ and the key in capitals, with two underscores for each dot: REALTIME_DEVICE sets "
            "device, REALTIME_POSE__MAX_PEOPLE sets pose.max_people."
        )
    return out.format_help()


# ---- one flag


class _Help(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, values: object, option: object = None
    ) -> None:
        write_out(help_text(str(values)))
        parser.exit()


class _Version(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, values: object, option: object = None
    ) -> None:
        write_out(f"{PROGRAM} {__version__}\n")
        parser.exit()


class _Once(argparse.Action):
    """Stores the value of a flag that can't be repeated. Of other flags, the last one wins."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, values: object, option: object = None
    ) -> None:
        if (first := getattr(namespace, self.dest)) is not None:
            parser.error(f"{option}: given twice, {first} and {values}; expected one")
        setattr(namespace, self.dest, values)


class _Flag:
    """One flag: how argparse parses it, and its help."""

    # Any: the keywords of add_argument have many types.
    def __init__(self, name: str, text: str, *more_names: str, **keywords: Any) -> None:  # noqa: ANN401
        self.name = name
        self._names = [*more_names, "--" + name.replace("_", "-")]
        self._keywords = keywords | {"dest": name, "help": text.replace("%", "%%")}

    @classmethod
    def of_key(cls, key: Key) -> _Flag:
        keywords: dict[str, Any] = {"metavar": key.placeholder}
        if key.kind is bool:
            keywords |= {"nargs": "?", "const": "true"}
        elif is_repeatable(key.kind):
            keywords |= {"action": "append"}
        elif key.name == "preset":
            keywords |= {"action": _Once}
        return cls(key.name, _described(key, "; repeatable" if is_repeatable(key.kind) else ""), **keywords)

    @classmethod
    def of_camera(cls, key: Key) -> _Flag:
        flag = cls(key.name, _described(key), metavar=key.placeholder)
        flag._names = [f"{key.name}:"]
        return flag

    @classmethod
    def of_tool(cls, word: str, text: str) -> _Flag:
        flag = cls(word, text, action="store_true")
        flag._names = [word]
        return flag

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(*self._names, **self._keywords)

    def shown(self) -> argparse.Action:
        """The action that a HelpFormatter prints for this flag."""
        action = argparse.Action(self._names, self.name, self._keywords.get("nargs"))
        action.help, action.metavar = self._keywords["help"], self._keywords.get("metavar")
        if self._keywords.get("action") == "store_true":
            action.nargs = 0
        return action


def _all_flags() -> list[_Flag]:
    """The program's own flags, then one for each key."""
    many = {"action": "append"}
    switch = {"action": "store_true"}
    groups = ", ".join([*sections(), "cameras"])
    return [
        _Flag("source", "webcam number, video, image, folder, URL or demo; repeatable", metavar="[NAME=]SRC", **many),
        _Flag("config", "YAML file; repeatable, later files win", metavar="FILE", type=home_path, default=[], **many),
        _Flag("dry_run", "load and warm up the models, then exit without opening a source", **switch),
        _Flag("print_config", "print the resolved configuration as YAML, without secrets, and exit", **switch),
        _Flag("help", f"show this help, or one group of it: {groups}", "-h", action=_Help, **_OPTIONAL_GROUP),
        _Flag("version", "show the version and exit", action=_Version, nargs=0),
        *(_Flag.of_key(key) for key in leaves()),
    ]


def _described(key: Key, more: str = "") -> str:
    default = ", ".join(map(str, key.default)) if isinstance(key.default, list) else str(key.default)
    if isinstance(key.default, bool):
        default = default.lower()
    elif key.default is None:
        default = "" if key.is_required else "unset"
    return f"{key.description}{more}" + (f" (default: {default})" if default else "")


def _add_section(out: argparse.HelpFormatter, title: str, description: str, flags: Iterable[_Flag]) -> None:
    out.start_section(title)
    out.add_text(description)
    out.add_arguments([flag.shown() for flag in flags])
    out.end_section()


# ---- parsing


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see --help")


def _dashed(word: str) -> str:
    """Replace underscores with dashes in the name of a flag, but not in its value."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def _unknown(word: str, options: Sequence[str]) -> str:
    if not word.startswith("-"):
        tools = "" if re.search(r"[^a-z-]", word) else f"; the tools, named first, are {', '.join(TOOLS)}"
        return f"unexpected argument {word!r}{tools}; to process a video, use --source {word}"
    name = word.partition("=")[0]
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.7)
    return f"unknown flag {name}" + (f", did you mean {close[0]}?" if close else "; see --help")
