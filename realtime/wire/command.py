# SPDX-License-Identifier: MIT
"""The command `python -m realtime.client`: prints the stream, one line per message, for terminals and pipes.

`realtime.client` runs it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import itertools
import sys
import time
from collections.abc import Iterator, Sequence

from realtime import wire
from realtime.printable import Parser, printable, printable_json, say
from realtime.stdio import discard_stdout, is_stdout_closed
from realtime.wire.reading import (
    DEFAULT_ENDPOINT,
    MOST_CAMERAS,
    deadline,
    load_keys,
    open_socket,
    remember,
    two_parts,
    wait_ms,
)
from realtime.wire.subscriber import PoseSubscriber

# Upper limit of --timeout in seconds.
LONGEST_S = 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the stream until it is interrupted, `--count` lines are printed or the reader of the pipe closes it.

    Returns:
        Exit code: 0 after one of these ends; 1 after a timeout, or if a message can't be read or standard output can't
        be written; 2 for an invalid argument or key.
    """
    options = _parser().parse_args(arguments)
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
    parser.add_argument("--topics", action="store_true", help="print each topic once instead of poses")
    parser.add_argument(
        "--curve-secret", metavar="FILE", help="file with this reader's secret key, if the publisher uses keys"
    )
    parser.add_argument("--curve-server", metavar="FILE", help="file with the publisher's public key")
    parser.add_argument("--count", metavar="N", type=_positive, help="exit after N lines")
    parser.add_argument(
        "--timeout", metavar="S", type=_seconds, help="exit with code 1 if nothing arrives for S seconds"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number, at least 1")
    return int(text)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= LONGEST_S:
            return float(text)
    raise argparse.ArgumentTypeError(f"got {text!r}, expected seconds: more than 0, at most {LONGEST_S:g}")


def _messages(options: argparse.Namespace) -> Iterator[bytes]:
    """Yield the line of each pose message or, with --status, of each status message."""
    connect = options.connect or DEFAULT_ENDPOINT
    with PoseSubscriber(
        connect,
        cameras=options.camera,
        timeout_s=options.timeout,
        curve_secret=options.curve_secret,
        curve_server=options.curve_server,
    ) as subscriber:
        while options.status:
            said = subscriber.statuses(options.timeout)
            if not said:
                raise TimeoutError(f"no status for {options.timeout:g} s: is the publisher running?")
            for status in said:
                yield _json(status) if options.json else _line(_told(status))
        while True:
            message = subscriber.next_message()
            yield _json(message) if options.json else _line(_human(message))


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
    return f"{status.camera} {status.state}{why}{activity}{_since(status)}: {status.fps:.1f} fps, {counts}"


def _since(status: wire.StatusMessage) -> str:
    """Since when a camera is not live, in local time, with the date unless it is today's; else nothing."""
    if status.state == "live" or status.since_ns is None:
        return ""
    try:
        began = time.localtime(status.since_ns / 1e9)
    except (ValueError, OverflowError, OSError):  # a stranger may send any number
        return ""
    is_today = began[:3] == time.localtime()[:3]
    return time.strftime(" since %H:%M:%S" if is_today else " since %Y-%m-%d %H:%M:%S", began)


def _human(message: wire.PoseMessage) -> str:
    people = ", ".join(f"id {i} ({score:.2f})" for i, score in zip(message.track_ids, message.scores, strict=True))
    age_ms = (time.time_ns() - message.captured_ns) / 1e6
    return f"{message.camera} frame {message.frame}: {people or 'no people'}, {age_ms:.0f} ms old"


def _topics(options: argparse.Namespace) -> Iterator[bytes]:
    """Yield each topic when its first message arrives, including those of info and status."""
    endpoints = options.connect or [DEFAULT_ENDPOINT]
    wanted = [t(c) for c in options.camera or [] for t in (wire.info_topic, wire.pose_topic, wire.status_topic)]
    context, socket = open_socket(endpoints, wanted or [b""], load_keys(options.curve_secret, options.curve_server))
    seen: dict[int, None] = {}  # hashes, because a topic of another publisher may have any length
    most = 3 * MOST_CAMERAS * len(endpoints)
    try:
        while socket.poll(wait_ms(deadline(options.timeout))):
            topic, _ = two_parts(socket.recv_multipart())
            is_new = hash(topic) not in seen
            remember(seen, hash(topic), None, most)
            if is_new:
                yield _line(topic.decode(errors="backslashreplace"))
        raise TimeoutError(
            f"no messages from {', '.join(endpoints)} for {options.timeout:g} s: is the publisher running?"
        )
    finally:
        context.destroy(linger=0)
