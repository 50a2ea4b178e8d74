"""The self-test: a network on the chosen engine must agree with the same network in fp32.

Used by models.yolo and pose.build at the start, before any camera opens. They build the networks and measure how well
two of them agree; what happens then is decided here. A test that was passed is remembered for the network, the engine
and this kind of processor, and is not repeated.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from realtime import __version__
from realtime.config import DetectorConfig, PoseConfig
from realtime.errors import EngineError, ModelError
from realtime.models import openvino
from realtime.models.choice import EXACT, Choice
from realtime.models.memory import recall, remember
from realtime.runtime.processor import kind_of_processor

log = logging.getLogger(__name__)

Network = TypeVar("Network")


class Verdict(NamedTuple):
    """The result of a comparison with fp32."""

    passed: bool
    finding: str  # a clause for the log: "it finds all people that fp32 detects"
    day: str | None = None  # the day of an earlier start that found it, "2026-11-29"; None: found just now


def remembered(
    folder: Path, identity: str, choice: Choice, sources: Sequence[Path], test: Callable[[], Verdict]
) -> Verdict:
    """Return the verdict of an earlier start on the same network, engine and kind of processor, or test now.

    >>> from tempfile import TemporaryDirectory
    >>> def test():
    ...     print("testing")
    ...     return Verdict(True, "it deviates by 0")
    >>> with TemporaryDirectory() as folder:
    ...     for start in range(2):
    ...         passed = remembered(Path(folder), "network", Choice("openvino", "fp32"), [], test).passed
    testing

    Args:
        folder: the folder of the cache that remembers it. Only tests that were passed are remembered.
        identity: changes with the network (Converted.identity); empty: the test is not remembered.
        choice: the engine and its precision.
        sources: the source files that decide what the test measures.
        test: tests the network.
    """
    if not identity:
        return test()
    code = b"".join(source.read_bytes() for source in sources)
    parts = [identity, str(choice), kind_of_processor(), openvino.version(), __version__]
    key = hashlib.sha256("\0".join(parts).encode() + code).hexdigest()
    file = folder / "self-tests.json"
    if len(known := recall(file).get(key, [])) == 2:
        return Verdict(True, known[0], day=known[1])
    verdict = test()
    if verdict.passed:
        remember(file, key, [verdict.finding, time.strftime("%Y-%m-%d")])
    return verdict


def proven(
    section: str,
    choice: Choice,
    config: DetectorConfig | PoseConfig,
    build_and_test: Callable[[Choice], tuple[Network, Verdict]],
) -> Network:
    """Build a network on the chosen engine and test it; fall back where `auto` chose, otherwise stop.

    The fallbacks are the same engine in fp32, then torch in fp32, each only if it replaces nothing that the section
    sets. They are tested too.

    Args:
        section: the name of the section, for log and error messages: "pose".
        choice: the engine and its precision.
        config: the section. With `self_test` "warn", a pose network that fails its test, and has no fallback, runs.
        build_and_test: builds the network on an engine and compares it with fp32. Raises EngineError if the engine
            can't run this network.

    Returns:
        The network.

    Raises:
        ModelError: the network failed its test or could not be built, and there is no fallback.

    >>> def build_and_test(choice):
    ...     deviation = 0.9 if choice.precision == "bf16" else 0.0
    ...     return f"network on {choice}", Verdict(deviation < 0.1, f"it deviates by {deviation}")
    >>> proven("detector", Choice("openvino", "bf16"), DetectorConfig(), build_and_test)
    'network on openvino fp32'
    """
    network = None
    try:
        network, verdict = build_and_test(choice)
    except EngineError as error:
        problem = f"{choice} can't be used: {error}"
    else:
        if verdict.passed:
            chosen = "auto chose" if "auto" in (config.engine, config.precision) else "runs on"
            when = f" on {verdict.day}, not repeated" if verdict.day else ""
            log.info("%s: %s %s (self-test%s: %s)", section, chosen, choice, when, verdict.finding)
            return network
        problem = f"the self-test of {choice} failed: {verdict.finding}"
    if fallback := _fallback(choice, config, is_built=network is not None):
        log.warning("%s: %s; using %s instead", section, problem, fallback)
        return proven(section, fallback, config, build_and_test)
    flags = f"--{section}.engine torch --{section}.precision fp32"
    advice = "try another model or --device cpu" if choice == EXACT else f"try {flags}"
    if network is None or isinstance(config, DetectorConfig):
        raise ModelError(f"{section}: {problem}; {advice}")
    if config.self_test == "stop":
        raise ModelError(f"{section}: {problem}; {advice}, or --pose.self-test warn to run anyway")
    log.warning("%s: %s; running it anyway; %s", section, problem, advice)
    return network


def _fallback(choice: Choice, config: DetectorConfig | PoseConfig, is_built: bool) -> Choice | None:
    """Return what to try after `choice` failed, or None. An engine that can't be built in bf16 can't in fp32 either."""
    if config.precision == "auto" and choice.precision != "fp32" and is_built:
        return choice._replace(precision="fp32")
    if config.engine == "auto" and config.precision in ("auto", "fp32") and choice.engine != "torch":
        return EXACT
    return None
