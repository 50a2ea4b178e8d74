# SPDX-License-Identifier: MIT
"""The command `python -m realtime.client`: prints the stream, one line per message, for terminals and pipes.

`realtime.client` runs it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import itertools
import math
import sys
import time
from collections.abc import Iterator, Sequence

from realtime import wire
from realtime.printable import Parser, in_words, printable, printable_json, say
from realtime.stdio import discard_stdout, is_stdout_closed
from realtime.wire.connections import Connections
from realtime.wire.ending import LostError
from realtime.wire.reading import DEFAULT_ENDPOINT, MOST_CAMERAS, load_keys, remember, two_parts
from realtime.wire.subscriber import PoseSubscriber

# Upper limit of --timeout in seconds.
LONGEST_S = 1e6
# Without --timeout, a publisher that isn't there is mentioned after this long (s); --status and --topics then give up.
PATIENCE_S = 5.0
# Within this time (s), the status of every camera comes at least twice.
ROUND_S = 2.5
TROUBLE_FIRST = ("failed", "reconnecting", "starting", "live", "ended")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the stream until it ends or is interrupted, `--count` lines are printed or the pipe's reader closes it.

    Returns:
        Exit code: 0 after one of these ends; 1 after a timeout, if the stream is lost, or if a message can't be read or
        standard output can't be written; 2 for an invalid argument or key.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.once and not options.status:
        parser.error("--once: expected --status too")
    try:
        if is_stdout_closed():
            raise OSError(errno.EBADF, "it is closed")
        lines = _topics(options) if options.topics else _messages(options)
        for line in itertools.islice(lines, options.count):
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        discard_stdout()
        return 0
    except (TimeoutError, wire.WireError) as error:
        say(str(error))
        return 1
    except ValueError as error:
        say(str(error))
        return 2
    except OSError as error:
        discard_stdout()
        say(f"standard output can't be written: {error.strerror}")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m realtime.client", description="Print the poses of a stream, one line per message.")
    parser.add_argument(
        "--connect",
        metavar="ENDPOINT",
        action="append",
        help=f"endpoint of a publisher; repeatable (default: {DEFAULT_ENDPOINT})",
    )
    parser.add_argument(
        "--camera", metavar="NAME", action="append", help="read only this camera; repeatable (default: all)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print each message as one line of JSON, as in docs/wire.md"
    )
    parser.add_argument("--status", action="store_true", help="print the status of the cameras instead of poses")
    parser.add_argument(
        "--once", action="store_true", help="with --status: one line per camera, those in trouble first, then exit"
    )
    parser.add_argument("--topics", action="store_true", help="print each topic once instead of poses")
    parser.add_argument(
        "--curve-secret", metavar="FILE", help="file with this reader's secret key, if the publisher uses keys"
    )
    parser.add_argument("--curve-server", metavar="FILE", help="file with the publisher's public key")
    parser.add_argument("--count", metavar="N", type=_positive, help="exit after N lines")
    parser.add_argument(
        "--timeout",
        metavar="S",
        type=_seconds,
        help="exit with code 1 if nothing arrives for S seconds; 0: wait forever, also for the next run after an end "
        f"(default: poses are waited for; --status and --topics give up after {PATIENCE_S:g} s without a publisher)",
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number, at least 1")
    return int(text)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= LONGEST_S:
            return float(text)
    raise argparse.ArgumentTypeError(f"got {text!r}, expected seconds: 0 (forever) to {LONGEST_S:g}")


def _messages(options: argparse.Namespace) -> Iterator[bytes]:
    """Yield the line of each pose message or, with --status, of each status message."""
    with PoseSubscriber(
        options.connect or DEFAULT_ENDPOINT,
        cameras=options.camera,
        timeout_s=options.timeout or PATIENCE_S,
        until_end=options.timeout != 0,
        curve_secret=options.curve_secret,
        curve_server=options.curve_server,
    ) as subscriber:
        messages: Iterator[wire.StatusMessage | wire.PoseMessage] = _poses(subscriber, options)
        if options.status:
            statuses = _statuses(subscriber, options)
            messages = _newest_of_each(statuses) if options.once else statuses
        for message in messages:
            if options.json:
                yield _json(message)
            else:
                yield _line(_told(message) if isinstance(message, wire.StatusMessage) else _human(message))


def _poses(subscriber: PoseSubscriber, options: argparse.Namespace) -> Iterator[wire.PoseMessage]:
    """Yield pose messages until the end of the stream. Say once per pause that none arrives."""
    is_told = was_heard = False
    while True:
        try:
            message = subscriber.next_message()
        except StopIteration:
            return
        except LostError:
            raise
        except TimeoutError as error:
            if options.timeout:
                raise
            if was_heard and not subscriber.connected:
                continue  # the connection was lost, which ends this soon, or the next run is waited for
            if not is_told:
                say(f"{error}; still waiting")
            is_told = True
        else:
            is_told, was_heard = False, True
            yield message


def _statuses(subscriber: PoseSubscriber, options: argparse.Namespace) -> Iterator[wire.StatusMessage]:
    """Yield status messages until the end of the stream.

    Raises:
        TimeoutError: none arrived, and there is no publisher.
    """
    is_told = False
    while not subscriber.ended:
        said = subscriber.statuses(options.timeout or PATIENCE_S)
        yield from said
        if not said and not subscriber.ended:
            endpoints = ", ".join(options.connect or [DEFAULT_ENDPOINT])
            text = f"no status from {endpoints} for {options.timeout or PATIENCE_S:g} s: {subscriber.why()}"
            _give_up_or_wait(text, options, subscriber.connected, is_told)
        is_told = not said


def _newest_of_each(statuses: Iterator[wire.StatusMessage]) -> Iterator[wire.StatusMessage]:
    """Yield the newest status of each camera, those in trouble first.

    All cameras send theirs every second, and more often if something changes, so all have been heard once this time has
    passed.
    """
    newest: dict[tuple[str, str], wire.StatusMessage] = {}
    until_s = math.inf
    for status in statuses:
        until_s = min(until_s, time.monotonic() + ROUND_S)
        remember(newest, (status.session, status.camera), status, MOST_CAMERAS)
        if time.monotonic() >= until_s:
            break
    yield from sorted(newest.values(), key=lambda status: (TROUBLE_FIRST.index(status.state), status.camera))


def _give_up_or_wait(text: str, options: argparse.Namespace, is_connected: bool, is_told: bool) -> None:
    """Raise TimeoutError after --timeout or, without it, if there is no publisher. Else say that it is waited for."""
    if options.timeout or (options.timeout is None and not is_connected):
        raise TimeoutError(text)
    if not is_told:
        say(f"{text}; still waiting")


def _json(message: wire.Message) -> bytes:
    line = wire.encode(message, "json")
    return line if line.isascii() else printable_json(line.decode()).encode()


def _line(text: str) -> bytes:
    """A line for a terminal. The publisher may be a stranger, whose names and reasons hold any character."""
    return printable(text).encode()


def _told(status: wire.StatusMessage) -> str:
    why = f" ({status.reason})" if status.reason else ""
    idle = status.drops.get("idle", 0)
    left_out = f" and {idle} left out while empty" if idle else ""
    counts = f"{status.captured} captured, {status.dropped - idle} dropped{left_out}, {status.published} published"
    if status.recording is not None and (status.recording.lost or status.recording.error):
        because = f" ({status.recording.error})" if status.recording.error else ""
        counts += f", recording: {status.recording.lost} lines lost{because}"
    activity = "" if status.activity is wire.UNSET else f", {status.activity}"
    return f"{status.camera} {status.state}{why}{activity}{_lasts(status)}: {status.fps:.1f} fps, {counts}"


def _lasts(status: wire.StatusMessage) -> str:
    """How long the state has lasted, by the clocks of both machines; empty if an older publisher doesn't say."""
    if status.since_ns is None:
        return ""
    lasts_s = (time.time_ns() - status.since_ns) / 1e9
    return f" for {in_words(lasts_s) if lasts_s >= 1 else '0 s'}"


def _human(message: wire.PoseMessage) -> str:
    people = ", ".join(f"id {i} ({score:.2f})" for i, score in zip(message.track_ids, message.scores, strict=True))
    age_ms = (time.time_ns() - message.captured_ns) / 1e6
    return f"{message.camera} frame {message.frame}: {people or 'no people'}, {age_ms:.0f} ms old"


def _topics(options: argparse.Namespace) -> Iterator[bytes]:
    """Yield each topic when its first message arrives, including those of info and status."""
    endpoints = options.connect or [DEFAULT_ENDPOINT]
    wanted = [t(c) for c in options.camera or [] for t in (wire.info_topic, wire.pose_topic, wire.status_topic)]
    connections = Connections(endpoints, wanted or [b""], load_keys(options.curve_secret, options.curve_server))
    seen: dict[int, None] = {}  # hashes, because a topic of another publisher may have any length
    most = 3 * MOST_CAMERAS * len(endpoints)
    patience_s, is_told = options.timeout or PATIENCE_S, False
    with contextlib.closing(connections):
        until_s = time.monotonic() + patience_s
        while True:
            if (taken := connections.take()) is not None:
                topic, _ = two_parts(taken[1])
                is_new = hash(topic) not in seen
                remember(seen, hash(topic), None, most)
                if is_new:
                    yield _line(topic.decode(errors="backslashreplace"))
                until_s, is_told = time.monotonic() + patience_s, False
            elif time.monotonic() < until_s:
                connections.wait(until_s)
            else:
                text = f"no messages from {', '.join(endpoints)} for {patience_s:g} s: {connections.trouble(0)}"
                _give_up_or_wait(text, options, connections.is_connected, is_told)
                until_s, is_told = time.monotonic() + patience_s, True
