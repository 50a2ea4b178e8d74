"""Reads YAML that people write. The result is plain data, or an error of one line, whatever the text contains.

Used by config.load for configuration files, for flags and for variables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from realtime.config.mistakes import short
from realtime.errors import ConfigError, first_line

# A thousand cameras with all their keys fit into this many bytes. Parsing a larger file takes seconds, during which a
# reload would slow the running cameras down.
MOST_BYTES = 512 * 1024
# An alias repeats what it refers to. A file of a few lines can stand for billions of values.
MOST_VALUES = 100_000


class _Yaml(yaml.SafeLoader):
    """A SafeLoader that rejects repeated keys, for which SafeLoader keeps the last value, and multiplying aliases."""

    def get_single_node(self) -> yaml.Node | None:
        """Parse the text, as SafeLoader does.

        Raises:
            ConstructorError: with all aliases replaced, there would be more than MOST_VALUES values.
        """
        node = super().get_single_node()
        if node is not None and _values_in(node, {}) > MOST_VALUES:
            raise yaml.constructor.ConstructorError(None, None, f"more than {MOST_VALUES:,} values", node.start_mark)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping as SafeLoader does.

        Raises:
            ConstructorError: a key is repeated.
        """
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key.value, str) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    problem = f"the key {key.value} is repeated"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _integer(loader: _Yaml, node: yaml.ScalarNode) -> int:
    """Build an integer as SafeLoader does.

    Raises:
        ConstructorError: it has more than 64 bits. Python refuses to print much larger ones.
    """
    value: int = loader.construct_yaml_int(node)
    if abs(value) >= 2**63:
        raise yaml.constructor.ConstructorError(None, None, "a number is too large", node.start_mark)
    return value


_Yaml.add_constructor("tag:yaml.org,2002:int", _integer)


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
        raise yaml.constructor.ConstructorError(None, None, "a value contains itself", node.start_mark)
    return counted[id(node)]


def parse_yaml(text: str, origin: str) -> object:
    """Return the data in a YAML text: mappings, lists, strings, numbers, booleans, dates and None.

    >>> parse_yaml("pose: {model: none}", "--config: home.yaml")
    {'pose': {'model': 'none'}}

    Args:
        text: the YAML.
        origin: where it comes from, for the error.

    Raises:
        ConfigError: it isn't valid.
    """
    try:
        return yaml.load(text, _Yaml)  # noqa: S506 - a subclass of SafeLoader
    except RecursionError:
        problem, line = "nested too deeply", ""
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable")
    except Exception as error:  # PyYAML lets errors of Python about numbers, dates and keys through
        problem, line = first_line(error), ""
    raise ConfigError(f"{origin}{line}: not valid YAML: {short(problem)}")


def read_yaml(path: Path) -> object:
    """Return the data in a YAML file, as `parse_yaml` does.

    Raises:
        ConfigError: the file is missing, unreadable, too large or not valid YAML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        text = data.decode()
    except FileNotFoundError:
        raise ConfigError(f"--config: no such file: {path}") from None
    except OSError as error:
        raise ConfigError(f"--config: can't read {path}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"--config: can't read {path}: not UTF-8 text") from None
    if len(data) > MOST_BYTES:
        raise ConfigError(f"--config: {path}: too large: expected at most {MOST_BYTES // 1024} kB")
    return parse_yaml(text, f"--config: {path}")
