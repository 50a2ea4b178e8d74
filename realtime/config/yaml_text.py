"""Reads YAML that people write. The result is plain data, or an error of one line, whatever the text contains.

Used by config.load for configuration files, for flags and for variables. A scalar is text, as in a flag or a variable,
and the key decides what it means. YAML's own rules would turn the name 010 into 8, 12:30 into 750 and `on` into true.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from realtime.config.mistakes import short
from realtime.config.places import Place
from realtime.config.reading import Reading
from realtime.config.yaml_mistakes import PROBLEMS, advice, template_in
from realtime.errors import ConfigError, first_line

# A thousand cameras with all their keys fit into this many bytes. Parsing a larger file takes seconds, during which a
# reload would slow the running cameras down.
MOST_BYTES = 512 * 1024
# An alias repeats what it refers to. A file of a few lines can stand for billions of values.
MOST_VALUES = 100_000
_YAML = "tag:yaml.org,2002:"
_NULL, _MERGE = f"{_YAML}null", f"{_YAML}merge"
_TEXT = {_YAML + kind for kind in ("str", "int", "float", "bool", "timestamp", "merge")}


class _Refused(yaml.MarkedYAMLError):
    """The text is valid YAML, but can't be a configuration."""

    def __init__(self, problem: str, mark: yaml.Mark) -> None:
        super().__init__(problem=problem, problem_mark=mark)
        self.line, self.said = mark.line + 1, problem


class _Yaml(yaml.SafeLoader):
    """A SafeLoader that resolves plain scalars only to null and the key `<<`."""

    yaml_implicit_resolvers: dict[str, object] = {}  # noqa: RUF012 - SafeLoader's own attribute

    def root(self) -> tuple[object, Place]:
        """Parse the text.

        Raises:
            YAMLError: it isn't valid. Or with all aliases replaced, there would be more than MOST_VALUES values.
        """
        node = self.get_single_node()
        if node is None:
            return None, Place(1, {})
        if _values_in(node, {}) > MOST_VALUES:
            raise _Refused(f"more than {MOST_VALUES:,} values", node.start_mark)
        return _built(node)


_Yaml.add_implicit_resolver(_NULL, re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""])
_Yaml.add_implicit_resolver(_MERGE, re.compile(r"<<\Z"), ["<"])


def _built(node: yaml.Node) -> tuple[object, Place]:
    """Return the data of a node, and where it is written."""
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node), Place(line, {})
    if node.tag not in (f"{_YAML}map", f"{_YAML}seq"):
        raise _Refused(_unknown_tag(node.tag), node.start_mark)
    below: dict[str, Place] = {}
    if isinstance(node, yaml.SequenceNode):
        items: list[object] = []
        for index, item in enumerate(node.value):
            value, below[str(index)] = _built(item)
            items.append(value)
        return items, Place(line, below)
    assert isinstance(node, yaml.MappingNode)
    if (template := template_in(node)) is not None:
        raise _Refused(f"{template} is a template that was not filled in", node.start_mark)
    data: dict[str, object] = {}
    for key, (at, value_node) in _entries(node).items():
        data[key], place = _built(value_node)
        below[key] = place._replace(line=at)
    return data, Place(line, below)


def _scalar(node: yaml.ScalarNode) -> str | None:
    if node.tag == _NULL:
        return None
    if node.tag not in _TEXT:
        raise _Refused(_unknown_tag(node.tag), node.start_mark)
    text: str = node.value
    if re.search("[\ud800-\udfff]", text):  # JSON writes an emoji as two of these
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return text


def _entries(node: yaml.MappingNode) -> dict[str, tuple[int, yaml.Node]]:
    """The line and the value of each key, with those that `<<` brings in.

    Raises:
        _Refused: a key is repeated, or isn't text.
    """
    own: dict[str, tuple[int, yaml.Node]] = {}
    merged: dict[str, tuple[int, yaml.Node]] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.tag == _MERGE:
            for other in _merged(value):
                for name, entry in _entries(other).items():
                    merged.setdefault(name, entry)
            continue
        name = _key(key)
        if name in own:
            raise _Refused(f"the key {short(name)} is repeated, it is also in line {own[name][0]}", key.start_mark)
        own[name] = line, value
    return merged | own


def _merged(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if not isinstance(each, yaml.MappingNode):
            raise _Refused("<<: expected a mapping, such as *anchor", each.start_mark)
        yield each


def _key(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode) and (template := template_in(node)) is not None:
        raise _Refused(f"{template} is a template that was not filled in", node.start_mark)
    if not isinstance(node, yaml.ScalarNode):
        kind = "list" if isinstance(node, yaml.SequenceNode) else "mapping"
        raise _Refused(f"got a {kind} as a key, expected text", node.start_mark)
    name = _scalar(node)
    if name is None:
        raise _Refused("got nothing or null as a key, expected text", node.start_mark)
    return name


def _unknown_tag(tag: str) -> str:
    name = "!!" + tag.removeprefix(_YAML) if tag.startswith(_YAML) else tag
    return f"the tag {short(name)} is not supported; a secret can be read with source: secret:PATH or env:NAME"


def _values_in(node: yaml.Node, counted: dict[int, int]) -> int:
    """Return the number of nodes from this one down, counting those behind an alias each time that it occurs.

    Args:
        node: the root of the tree.
        counted: the result for each node that was visited, by its id; 0 while it is being visited.
    """
    if id(node) not in counted:
        counted[id(node)] = 0
        below = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        total = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(_values_in(part, counted) for part in below))
        counted[id(node)] = total
    elif counted[id(node)] == 0:
        raise _Refused("a value contains itself", node.start_mark)
    return counted[id(node)]


def parse_yaml(text: str, origin: str) -> tuple[object, Place]:
    """Return the data in a YAML text, of mappings, lists, strings and None, and the lines of its values.

    >>> data, place = parse_yaml("pose:\\n  model: 010", "--config: home.yaml")
    >>> data, place.line_of(["pose", "model"])
    ({'pose': {'model': '010'}}, 2)

    Args:
        text: the YAML.
        origin: where it comes from, for the error.

    Raises:
        ConfigError: it isn't valid.
    """
    try:
        loader = _Yaml(text)
    except yaml.reader.ReaderError as error:
        line = _line_at(text, error.position)
        raise ConfigError(
            f"{origin} line {line}: got the character U+{ord(text[error.position]):04X}, expected text"
        ) from None
    try:
        return loader.root()
    except RecursionError:
        line, problem = loader.line + 1, "nested too deeply"
    except _Refused as error:
        line, problem = error.line, error.said
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else loader.line + 1
        said = str(getattr(error, "problem", None) or "unreadable")
        said = re.sub("alias .*", "alias", said)  # its name may be a password that begins with an asterisk
        problem = PROBLEMS.get(said) or f"not valid YAML: {short(said)}"
        problem += advice(_lines(text)[line - 1 : line], getattr(error, "context", None))
    except Exception as error:  # PyYAML lets errors of Python through, such as those of a number in a directive
        line, problem = loader.line + 1, f"not valid YAML: {short(first_line(error))}"
    finally:
        loader.dispose()
    raise ConfigError(f"{origin} line {line}: {problem}")


# The line breaks of YAML 1.1, as PyYAML counts them.
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def _lines(text: str) -> list[str]:
    return _BREAK.split(text)


def _line_at(text: str, position: int) -> int:
    return len(_lines(text[:position]))


def read_yaml(path: Path, reading: Reading) -> tuple[object, Place]:
    """Return the data in a YAML file and the lines of its values, as `parse_yaml` does.

    Raises:
        ConfigError: the file is missing, unreadable, too large or not valid YAML.
    """
    try:
        data = reading.read(path, MOST_BYTES)
    except ValueError as error:
        raise ConfigError(f"--config: can't read {path}: {error}") from None
    # Windows PowerShell writes UTF-16.
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        name = "UTF-16" if is_wide else "UTF-8"
        raise ConfigError(f"--config: {path} line {line}: not {name} text; save the file as UTF-8") from None
    return parse_yaml(text, f"--config: {path}")
