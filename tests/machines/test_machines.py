"""The program on 35 machines, three runs on each: `make machines`, as root.

Each run works, or ends with one line and the exit code of the contract. docs/reliability.md has the table.
"""

import contextlib

import pytest

from .cell import arguments_of, prepare, run_on
from .judge import faults_of, summary
from .namespace import Namespace, NotMade, Terminal
from .table import MACHINES, RUNS

pytestmark = [pytest.mark.machines, pytest.mark.usefixtures("yolov8n")]


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("machine", MACHINES, ids=[machine.name for machine in MACHINES])
def test_a_run_works_or_ends_with_one_line(machine, run, kit, cell, request):
    cell(machine.name, run, "**failed**")
    try:
        result = on(machine, run, kit)
    except NotMade as error:
        cell(machine.name, run, f"not made: {error}")
        if request.config.getoption("--allow-missing-machines"):
            pytest.skip(f"not made: {error}")
        pytest.fail(f"not made: {error}; --allow-missing-machines skips it", pytrace=False)
    faults = faults_of(result, machine, run)
    if faults:
        pytest.fail(
            "\n".join([*faults, "", f"exit code {result.code}, standard error:", *result.stderr]), pytrace=False
        )
    cell(machine.name, run, summary(result))


def on(machine, run, kit):
    with contextlib.ExitStack() as stack:
        terminal = stack.enter_context(Terminal()) if machine.has_terminal else None
        space = stack.enter_context(Namespace(kit.app, machine.has_network))
        prepare(space, machine, kit, terminal)
        return run_on(space, machine, arguments_of(run, machine, kit), terminal)
