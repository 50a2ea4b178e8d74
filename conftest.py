"""Setup of the docstring examples in realtime/, which run as tests (`--doctest-modules`)."""

import importlib.util
from collections.abc import Iterator

import numpy as np
import pytest

# It has no examples, and its library is large, so that only `make convert` installs it.
collect_ignore = [] if importlib.util.find_spec("rerun") else ["realtime/recordings/convert/rerun.py"]


@pytest.fixture(autouse=True)
def numpy_prints_by_its_defaults(request: pytest.FixtureRequest) -> Iterator[None]:
    """Undo, in docstring examples, the print options that ultralytics sets when it is imported."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    with np.printoptions(precision=8, linewidth=75, suppress=False, formatter={}):
        yield
