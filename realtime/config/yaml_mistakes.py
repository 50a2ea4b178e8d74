"""The likely cause of a mistake in a line that is not valid YAML, as advice. Used by config.yaml_text.

People write a configuration with the editor, the template or the format that they know. No message shows the line,
because it may contain a password.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

# Clearer wording for some of PyYAML's messages.
PROBLEMS = {
    "but found another document": "got a second document (---), expected a single one",
    "found incompatible YAML document (version 1.* is required)": "got another version of YAML, expected 1.1 or 1.2",
    "mapping values are not allowed here": "not valid YAML: a second colon; put a value with a colon and a space in "
    "quotes, and check the indentation",
}
# A name in a template is shown if it is no longer than this (characters).
_MOST_NAME = 64
# A sign of the likely mistake in a line, and the advice. The first that is found counts.
_SIGNS = (
    (r"\{\{|\{%|%\}|<%", "a template was not filled in"),
    ("\t", "indent and separate with spaces instead of tabs"),
    ("[\u201c\u201d\u201e\u2018\u2019\u201a]", "use straight quotes (\" or ') instead of typographic ones"),
    ("\uff1a", "use a plain colon and a space instead of the full-width colon"),
    ("[\xa0\u2007\u202f\u3000\u200b\ufeff]", "it contains a special space; use a plain space"),
    (r"^\s*\[[\w. -]+\]\s*$|^\s*[\w.-]+\s*=", "it looks like INI or TOML; YAML is written as key: value"),
    (r"^\s*(- +)?[\w.-]+:[^\s/:]+\s*$", "a colon needs a space after it"),
    (r"(:|-|^|,|\[)\s+[*&!%@`]", "put text that begins with one of * & ! % @ ` in quotes"),
)


def advice(lines: Sequence[str], context: object = None) -> str:
    """Return what to do about a mistake, as the end of a message; empty if nothing is known.

    >>> advice(["device:\\tcpu"])
    '; indent and separate with spaces instead of tabs'

    Args:
        lines: the line of the mistake, or none.
        context: what PyYAML was doing.
    """
    if context == "while scanning a double-quoted scalar" and any("\\" in line for line in lines):
        return "; in double quotes a backslash begins an escape: use single quotes"
    for sign, remedy in _SIGNS:
        if any(re.search(sign, line) for line in lines):
            return f"; {remedy}"
    return ""


def template_in(node: yaml.MappingNode, is_key: bool = False) -> str | None:
    """Return the text of a template that YAML reads as a mapping, such as {{ name }}; None if it is no template.

    Args:
        node: any mapping.
        is_key: it is the key of another mapping, so that it holds the name itself: the inner pair of braces.
    """
    if not node.flow_style or len(node.value) != 1:
        return None
    [(key, value)] = node.value
    if not isinstance(value, yaml.ScalarNode) or value.value:
        return None
    if not is_key:
        return template_in(key, is_key=True) if isinstance(key, yaml.MappingNode) else None
    name = key.value if isinstance(key, yaml.ScalarNode) else ""
    return f"{{{{ {name} }}}}" if re.fullmatch(rf"[\w.| -]{{1,{_MOST_NAME}}}", name) else "{{ ... }}"
