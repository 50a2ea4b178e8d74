"""The machines of docs/reliability.md: how each differs from an ordinary one, and how the three runs end on it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from .namespace import ANNA, STRANGER

RUNS = "demo", "file", "camera"
# The environment of an ordinary user, without the variables of the shell that started the tests.
USUAL = {"HOME": "/mnt/home", "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}

# Variables that Kubernetes sets in every container beside a service called realtime-pose.
SERVICE = {
    "REALTIME_POSE_SERVICE_HOST": "10.0.0.3",
    "REALTIME_POSE_SERVICE_PORT": "5555",
    "REALTIME_POSE_SERVICE_PORT_POSES": "5555",
    "REALTIME_POSE_PORT": "tcp://10.0.0.3:5555",
    "REALTIME_POSE_PORT_5555_TCP": "tcp://10.0.0.3:5555",
    "REALTIME_POSE_PORT_5555_TCP_ADDR": "10.0.0.3",
    "REALTIME_POSE_PORT_5555_TCP_PORT": "5555",
    "REALTIME_POSE_PORT_5555_TCP_PROTO": "tcp",
}


@dataclass(frozen=True)
class Ends:
    """How a run ends.

    Args:
        code: the exit code. If it is not 0, there is exactly one error line.
        says: a regular expression that the error line matches.
        loses: the stream is complete, but the recording is not, and status and log say so.
    """

    code: int = 0
    says: str = ""
    loses: bool = False


@dataclass(frozen=True)
class Machine:
    """How a machine differs from an ordinary one.

    Args:
        name: its row in the table.
        setup: lines of shell that root runs before the start. The outputs already belong to `user`.
        user: who starts the program.
        environment: variables in addition to `USUAL`; None removes one.
        door: shell that the user runs, with the program's command in "$@".
        has_network: False: no network interface is up, not even loopback.
        has_terminal: standard input, output and error are a terminal, "$tty", which is closed after the first pose.
        has_stderr: False: what the program says on standard error is lost.
        has_cache: False: the cache is empty, so the network is converted first.
        is_paced: files are played at their own pace, so that the run lasts until something happens.
        during: lines of shell that root runs after the first pose, if the program still runs.
        logs: a regular expression that some line of the log matches.
        needs: commands that are not in every system, with the package of Debian that has them.
        arguments: additional arguments, by run.
        ends: how a run ends, by run. The others end with 0 and publish and record everything.
    """

    name: str
    setup: str = ""
    user: int = ANNA
    environment: Mapping[str, str | None] = field(default_factory=dict)
    door: str = 'exec "$@"'
    has_network: bool = True
    has_terminal: bool = False
    has_stderr: bool = True
    has_cache: bool = True
    is_paced: bool = False
    during: str = ""
    logs: str = ""
    needs: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ends: Mapping[str, Ends] = field(default_factory=dict)


def full(folder: str, free_kb: int = 0) -> str:
    """A small disk of its own for a folder, with only this much free space."""
    return f"""
        mkdir -p {folder}
        mount -t tmpfs -o mode=1777,size=256k small {folder}
        dd if=/dev/zero of={folder}/filler bs=1k count={256 - free_kb} 2> /dev/null
    """


def read_only(*folders: str) -> str:
    return "\n".join(f"mount --bind {f} {f}; mount -o remount,bind,ro {f}" for f in folders)


# A disk that is full ends a run of files, which would be incomplete. A live run continues.
FULL = {"file": Ends(1, "record: can't write .*(No space left|File too large)"), "camera": Ends(loses=True)}
# Where Python finds code to run at its start, on the machine with another clock.
SITE = "/mnt/log/site"
DEVICES = "null zero full random urandom tty ptmx pts"

MACHINES = [
    Machine("an ordinary user, nothing in the cache", has_cache=False),
    Machine("root", user=0),
    Machine("a user without an entry in `/etc/passwd`, no `HOME`", user=STRANGER, environment={"HOME": None}),
    Machine(
        "`HOME` is another user's, mode 000",
        setup="mkdir -p /mnt/other/.cache; chmod 000 /mnt/other",
        environment={"HOME": "/mnt/other"},
    ),
    Machine("`HOME` does not exist", environment={"HOME": "/nonexistent"}),
    Machine("`HOME` is `/dev/null`, as for many services", environment={"HOME": "/dev/null"}),
    Machine("an empty environment", environment=dict.fromkeys(USUAL)),
    Machine("the root file system and `HOME` are read-only, `/tmp` is not", setup=read_only("/mnt/home")),
    Machine(
        "all but the folder of the outputs is read-only, `/tmp` and `/dev/shm` too",
        setup=read_only("/mnt/home", "/tmp", "/dev/shm"),
        ends=dict.fromkeys(RUNS, Ends(2, "/tmp can be written")),
    ),
    Machine("the disk of the outputs is full", setup=full("/mnt/out"), ends=FULL),
    Machine(
        "the disk of the outputs becomes full, and has space again later",
        setup=full("/mnt/out", free_kb=4),
        during="sleep 1; rm /mnt/out/filler",
        ends=FULL,
    ),
    Machine("files may have 4 KB at most (`ulimit -f`)", door='ulimit -f 8; exec "$@"', ends=FULL),
    Machine(
        "the disk of the cache is full",
        setup=full("/mnt/home/.cache"),
        has_cache=False,
        logs="No space left on device",
    ),
    Machine("`/tmp` is full", setup=full("/tmp")),
    Machine("the disks of `HOME` and `/tmp` are full", setup=full("/mnt/home") + full("/tmp"), has_cache=False),
    Machine(
        "`/tmp`, `/dev/shm` and `HOME` are noexec",
        setup="""
            mount -o remount,noexec /tmp
            mount -o remount,noexec /dev/shm
            mount --bind /mnt/home /mnt/home; mount -o remount,bind,noexec /mnt/home
        """,
        has_cache=False,
    ),
    Machine(
        "no `/dev/shm`, and only the usual devices",
        setup=f"""
            mkdir /mnt/log/dev; mount -t tmpfs -o mode=755 dev /mnt/log/dev
            cd /dev; for f in {DEVICES}; do [ -d $f ] && mkdir /mnt/log/dev/$f || : > /mnt/log/dev/$f; done
            for f in {DEVICES}; do mount --bind /dev/$f /mnt/log/dev/$f; done
            cd /; mount --no-mtab --move /mnt/log/dev /dev
        """,
    ),
    Machine("umask 077", door='umask 077; exec "$@"', has_cache=False),
    Machine("umask 000", door='umask 000; exec "$@"', has_cache=False),
    Machine("standard input, output and error are closed", door='exec "$@" <&- >&- 2>&-', has_stderr=False),
    Machine("standard output and error are full", door='exec "$@" > /dev/full 2>&1', has_stderr=False),
    Machine(
        "standard output and error have lost their reader",
        door='mkfifo /mnt/run/pipe; : < /mnt/run/pipe & exec "$@" > /mnt/run/pipe 2>&1',
        has_stderr=False,
    ),
    Machine(
        "the terminal is closed during the run",
        setup='chown $user "$tty"',
        door='exec setsid --ctty "$@" < "$TTY" > "$TTY" 2>&1',
        has_terminal=True,
        has_stderr=False,
        is_paced=True,
        needs={"setsid": "util-linux"},
    ),
    Machine("64 open files at most (`ulimit -n`)", door='ulimit -n 64; exec "$@"'),
    Machine(
        "no additional process or thread (`ulimit -u`)",
        door='exec prlimit --nproc=1 "$@"',
        needs={"prlimit": "util-linux"},
        ends=dict.fromkeys(RUNS, Ends(1, "thread")),
    ),
    Machine(
        "1 GB of address space (`ulimit -v`)",
        door='ulimit -v 1000000; exec "$@"',
        ends=dict.fromkeys(RUNS, Ends(1, "memory")),
    ),
    Machine("one CPU", door=f'exec taskset -c {min(os.sched_getaffinity(0))} "$@"', needs={"taskset": "util-linux"}),
    Machine(
        "locale C, ASCII",
        environment={"LANG": None, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ),
    Machine("standard streams are strict ASCII", environment={"PYTHONIOENCODING": "ascii:strict"}),
    Machine("256 KB of stack (`ulimit -s`)", door='ulimit -s 256; exec "$@"'),
    Machine(
        "the clock says 1970",
        # Not in `environment`, because root's env and setpriv would read it too.
        door="export LD_PRELOAD='/usr/$LIB/faketime/libfaketimeMT.so.1'; exec \"$@\"",
        # libfaketime 0.9.10 takes the monotonic time at which time.sleep wakes up for wall clock: 56 years from now.
        setup=f"""
            mkdir {SITE}
            echo 'import select, time' > {SITE}/sitecustomize.py
            echo 'time.sleep = lambda s: select.select([], [], [], s)' >> {SITE}/sitecustomize.py
        """,
        environment={"FAKETIME": "@1970-01-01 00:01:00", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": SITE},
        needs={"faketime": "faketime"},
        logs="^00:01:",
    ),
    Machine(
        "no network, loopback is down",
        has_network=False,
        arguments={"camera": ("--fail-fast",)},
        ends={"camera": Ends(3, "cam0")},
    ),
    Machine("a Kubernetes service called realtime-pose", environment=SERVICE),
    Machine(
        "the working directory was removed",
        door='mkdir /mnt/run/gone && cd /mnt/run/gone && rmdir /mnt/run/gone && exec "$@"',
        ends=dict.fromkeys(RUNS, Ends(2, "current folder")),
    ),
    Machine(
        "the folder of the outputs is removed during the run",
        is_paced=True,
        during="rm -r /mnt/out",
        ends={"file": Ends(1, "(record|report): can't write"), "camera": Ends(loses=True)},
    ),
]
