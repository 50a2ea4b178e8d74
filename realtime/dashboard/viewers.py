# SPDX-License-Identifier: MIT
"""All connected pages."""

from __future__ import annotations


class Viewers:
    """All connected pages.

    Attributes:
        count: how many are connected.
    """

    count = 0
