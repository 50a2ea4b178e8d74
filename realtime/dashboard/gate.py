# SPDX-License-Identifier: MIT
"""Who may see the page: the token and its cookie, and the checks of Host and Origin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Gate:
    """Lets requests with the token or its cookie through."""

    def knows(self, scope: Mapping[str, Any]) -> bool:
        """Whether this request has the cookie or the bearer token, or no token is needed."""
        raise NotImplementedError
