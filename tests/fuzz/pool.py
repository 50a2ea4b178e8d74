"""Runs inputs in other processes, several at once. A crash or a hang is an outcome, and ends only its own process."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from .probe import Outcome, kind_of_seed, probe

ROOT = Path(__file__).parents[2]
WORKERS = 8
# A process that has not answered for this long hangs. The longest a well-behaved input takes is a third of it.
HANG_S = 45.0
# A slow call is only believed if it is also slow while nothing else runs.
SLOW = "slow: "


class Worker:
    """A process that runs one input after the other, started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, seed: int) -> Outcome:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.pool"], cwd=ROOT, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        hangs = threading.Timer(HANG_S, self._process.kill)
        hangs.start()
        try:
            self._process.stdin.write(f"{seed}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            was_in_time = hangs.is_alive()
            hangs.cancel()
        if answer:
            return Outcome(**json.loads(answer))
        return self._died(seed, was_in_time)

    def _died(self, seed: int, was_in_time: bool) -> Outcome:
        code = self._process.wait(10)
        self.close()
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        end, harm = ("crash", f"crash: {cause}") if was_in_time else ("hang", f"hang: no end after {HANG_S:g} s")
        return Outcome(seed, kind_of_seed(seed), end=end, harm=harm)

    def close(self) -> None:
        if self._process is not None:
            self._process.stdin.close()
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


def run(
    seeds: Iterable[int], workers: int = WORKERS, heard: Callable[[Outcome], None] = lambda outcome: None
) -> list[list[Outcome]]:
    """Run the inputs of all seeds.

    Args:
        seeds: the numbers of the inputs.
        workers: how many run at once.
        heard: called with each outcome, on the thread of its worker.

    Returns:
        For each worker, its outcomes in their order.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for seed in seeds:
        waiting.put(seed)
    outcomes: list[list[Outcome]] = [[] for _ in range(workers)]

    def work(own: list[Outcome]) -> None:
        worker = Worker()
        while not waiting.empty():
            try:
                own.append(worker.run(waiting.get_nowait()))
            except queue.Empty:
                break
            heard(own[-1])
        worker.close()

    threads = [threading.Thread(target=work, args=(own,)) for own in outcomes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _again(outcomes)
    return outcomes


def _again(outcomes: list[list[Outcome]]) -> None:
    """Run each input that was slow once more, alone: with others it may have waited for a core."""
    worker = Worker()
    for own in outcomes:
        for place, outcome in enumerate(own):
            if outcome.harm.startswith(SLOW):
                own[place] = worker.run(outcome.seed)
    worker.close()


def main() -> None:
    """Answer each seed on standard input with a line of JSON."""
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            print(json.dumps(asdict(probe(int(line), Path(folder)))), flush=True)


if __name__ == "__main__":
    main()
