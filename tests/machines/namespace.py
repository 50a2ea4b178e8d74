"""A machine of its own for one start of the program: mount and process namespaces of Linux, made by machine.sh.

Nothing that happens in it reaches the real machine: its files lie in memory, the rest can't be written, and all its
processes end with it. The tests see its files below `Namespace.root`.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

SCRIPT = Path(__file__).with_name("machine.sh")
# A user with an entry in /etc/passwd and one without. The numbers are rarely in use, so that a limit on the number of
# the user's processes counts no others.
ANNA, STRANGER = 54320, 54321
# A command of `Namespace.do` takes milliseconds. A machine that takes longer hangs.
TIMEOUT_S = 30.0


class NotMade(Exception):  # noqa: N818 - a result, and no error of the program
    """The machine can't be made here: root, a right or a command is missing."""


class Namespace:
    """A machine for the duration of a `with` block.

    Args:
        app: folder with run_realtime.py and realtime/, which all users can read.
        has_network: False for a machine without any network interface that is up.
    """

    def __init__(self, app: Path, has_network: bool = True) -> None:
        self._app, self._has_network = app, has_network
        self.program = 0

    def __enter__(self) -> Namespace:
        if os.getuid() != 0:
            raise NotMade("needs root")
        shown = _beyond_closed_folders([Path(sys.prefix), Path(sys.base_prefix)])
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", *([] if self._has_network else ["--net"])]
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "APP": str(self._app),
            "USER_ID": str(ANNA),
            "CLOSED": " ".join(sorted({str(folder) for folder in shown.values()})),
        }
        try:
            self._process = subprocess.Popen(
                [*words, "sh", str(SCRIPT), *map(str, shown)],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except FileNotFoundError:
            raise NotMade("needs unshare (util-linux)") from None
        try:
            self.root = Path(f"/proc/{int(self._answer('READY '))}/root")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            self._process.stdin.close()  # ends the first process, and the system all others with it
        try:
            self._process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:  # a command hangs
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def do(self, line: str, timeout_s: float = TIMEOUT_S) -> int:
        """Run a line of shell as root and return its exit code; its output is in `said`."""
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return int(self._answer("DONE ", timeout_s))

    def make(self, lines: str) -> None:
        """Run lines of shell that must succeed.

        Raises:
            NotMade: one of them failed.
        """
        for line in filter(None, map(str.strip, lines.splitlines())):
            if self.do(line) != 0:
                raise NotMade(f"{line}: {self.said or 'failed'}")

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        user: int = ANNA,
        door: str = 'exec "$@"',
        folder: str = "/mnt/home",
    ) -> None:
        """Start a command in the background; its process id within the machine is `program`.

        Args:
            command: the words of the command.
            environment: all of its environment.
            user: its user and group.
            door: a line of shell that the user runs, with the command in "$@".
            folder: the working directory.
        """
        variables = [f"{name}={value}" for name, value in environment.items()]
        rights = [f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all"] if user else []
        words = ["env", "-i", *variables, *(["setpriv", *rights] if user else [])]
        words += ["/bin/sh", "-c", door, "sh", *command]
        self.make(
            f"(cd {shlex.quote(folder)} && exec {shlex.join(words)}) "
            "< /dev/null > /mnt/log/stdout 2> /mnt/log/stderr & program=$!\n"
            "echo $program"
        )
        self.program = int(self.said)

    def has_ended(self) -> bool:
        try:
            fields = (self.root / "proc" / str(self.program) / "stat").read_text()
        except FileNotFoundError:
            return True
        return fields.rpartition(")")[2].split()[0] == "Z"

    def wait(self) -> int:
        """Return the exit code of the program, which has ended: 128 + the number of the signal that ended it."""
        return self.do("wait $program")

    def processes(self) -> list[str]:
        """Return the names of all processes but the first."""
        folders = [f for f in (self.root / "proc").iterdir() if f.name.isdigit() and f.name != "1"]
        return [(folder / "comm").read_text().strip() for folder in folders]

    def read(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text(errors="backslashreplace")

    def files(self, folder: str) -> list[str]:
        """Return the paths of all files and folders in a folder, relative to it."""
        top = self.root / folder.lstrip("/")
        return sorted(path.relative_to(top).as_posix() for path in top.rglob("*"))

    def _answer(self, word: str, timeout_s: float = TIMEOUT_S) -> str:
        """Return the rest of the line that begins with `word`; the lines before it are kept in `said`."""
        timer = threading.Timer(timeout_s, self._process.kill)
        timer.start()
        lines = []
        try:
            while line := self._process.stdout.readline():
                if line.startswith(word):
                    self.said = "".join(lines).strip()
                    return line.removeprefix(word)
                lines.append(line)
        finally:
            timer.cancel()
        raise NotMade("".join(lines).strip() or "the machine ended")


class Terminal:
    """A terminal for the duration of a `with` block, which can be closed before, as by closing its window."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        self.name = os.ttyname(slave)
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._master >= 0:
            os.close(self._master)
            self._master = -1


def _beyond_closed_folders(paths: Sequence[Path]) -> dict[Path, Path]:
    """Return the paths that other users can't reach, each with the topmost folder that they can't enter."""
    found = {}
    for path in paths:
        above = reversed(path.resolve().parents)
        closed = next((folder for folder in above if not folder.stat().st_mode & stat.S_IXOTH), None)
        if closed is not None:
            found[path.resolve()] = closed
    return found
