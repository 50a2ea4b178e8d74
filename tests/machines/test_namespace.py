"""A machine of the tests reaches nothing of the real one, and one that can't be made says why."""

import os
import re
import sys
from pathlib import Path

import pytest

from .cell import prepare
from .namespace import Namespace, NotMade
from .table import Machine


def test_without_root_no_machine_is_made(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with pytest.raises(NotMade, match="needs root"), Namespace(tmp_path):
        pass


@pytest.mark.machines
def test_a_machine_that_cannot_be_made_names_what_failed(tmp_path):
    with (
        Namespace(tmp_path) as space,
        pytest.raises(NotMade, match=r"mount --bind /no/such /mnt/home: .*does not exist"),
    ):
        space.make("mount --bind /no/such /mnt/home")


@pytest.mark.machines
def test_a_missing_command_is_named_with_its_package(kit):
    machine = Machine("odd", needs={"no-such-command": "no-such-package"})
    needs = re.escape("needs no-such-command (package no-such-package)")
    with Namespace(kit.app) as space, pytest.raises(NotMade, match=needs):
        prepare(space, machine, kit)


@pytest.mark.machines
def test_a_machine_changes_nothing_outside(tmp_path):
    mounts = Path("/proc/self/mounts").read_text()
    with Namespace(tmp_path) as space:
        space.make("touch /tmp/of-a-machine /dev/shm/of-a-machine /mnt/of-a-machine")
        for folder in ("/etc", "/var", "/usr", "/mnt/app", sys.prefix):
            assert space.do(f"touch {folder}/of-a-machine") != 0, folder
            assert "Read-only file system" in space.said
        assert "of-a-machine" in space.files("/tmp")
    assert not [path for path in ("/tmp", "/dev/shm", "/mnt") if Path(path, "of-a-machine").exists()]
    assert Path("/proc/self/mounts").read_text() == mounts


@pytest.mark.machines
def test_all_processes_end_with_the_machine(tmp_path):
    with Namespace(tmp_path) as space:
        space.start(["/bin/sleep", "1000"], {})
        first = space.root.parent
        assert not space.has_ended()
        assert len(space.processes()) == 1
    assert not first.exists()


@pytest.mark.machines
def test_the_exit_code_of_a_program_is_told(tmp_path):
    with Namespace(tmp_path) as space:
        space.start(["/bin/sh", "-c", "echo said; echo wrong >&2; exit 7"], {})
        assert space.wait() == 7
        assert (space.read("/mnt/log/stdout"), space.read("/mnt/log/stderr")) == ("said\n", "wrong\n")
        assert space.has_ended()
