"""Setup of the docstring examples in realtime/, which run as tests (`--doctest-modules`)."""

from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def numpy_prints_by_its_defaults(request: pytest.FixtureRequest) -> Iterator[None]:
    """Undo, in docstring examples, the print options that ultralytics sets when it is imported."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    with np.printoptions(precision=8, linewidth=75, suppress=False, formatter={}):
        yield
