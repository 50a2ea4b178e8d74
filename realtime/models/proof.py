"""The self-test: a network on the chosen engine must agree with the same network in fp32.

Used by models.yolo and pose.build at the start, before any camera opens. They build the networks and measure how well
two of them agree; what happens then is decided here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from realtime.config import DetectorConfig, PoseConfig
from realtime.errors import EngineError, ModelError
from realtime.models.choice import EXACT, Choice

log = logging.getLogger(__name__)

Network = TypeVar("Network")


class Verdict(NamedTuple):
    """The result of a comparison with fp32."""

    passed: bool
    finding: str  # a clause for the log: "it finds all people that fp32 detects"


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
            log.info("%s: %s %s (self-test: %s)", section, chosen, choice, verdict.finding)
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
