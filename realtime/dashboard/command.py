# SPDX-License-Identifier: MIT
"""The command line of the dashboard: flags -> settings -> `serve`, errors as one line, exit codes."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence

from realtime.home import home_path
from realtime.printable import Parser
from realtime.wire.endpoints import Endpoint, parse_address, parse_endpoint
from realtime.wire.reading import DEFAULT_ENDPOINT

DEFAULT_ADDRESS = "127.0.0.1:8080"
# Default and upper limit of --lost-s (s).
LOST_S = 30.0
LONGEST_S = 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until SIGINT or SIGTERM.

    Returns:
        Exit code: 0 when stopped by a signal or by the end of standard input, 2 for an invalid argument, a bad or busy
        address or a missing library, 1 for any other failure.
    """
    parser().parse_args(arguments)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the flags."""
    flags = Parser(
        prog="python -m realtime.dashboard",
        allow_abbrev=False,
        description="Serve a live page, Prometheus metrics and health of one or more pipelines.",
    )
    flags.add_argument(
        "--connect",
        metavar="ENDPOINT",
        action="append",
        type=_endpoint,
        help=f"endpoint of a pipeline's poses; repeatable (default: {DEFAULT_ENDPOINT})",
    )
    flags.add_argument(
        "--bind",
        metavar="[HOST:]PORT",
        type=_address,
        default=_address(DEFAULT_ADDRESS),
        help=f"address of the page (default: {DEFAULT_ADDRESS})",
    )
    flags.add_argument(
        "--token-file",
        metavar="FILE",
        type=home_path,
        help="file with the token that viewers enter: at least 16 characters, mode 0600; needed beyond loopback",
    )
    flags.add_argument(
        "--allow-insecure",
        action="store_true",
        help="serve beyond loopback without a token: anyone on the network can watch",
    )
    flags.add_argument(
        "--host",
        metavar="NAME",
        action="append",
        default=[],
        help="a host name of the page besides addresses and localhost, for example behind a reverse proxy; repeatable",
    )
    flags.add_argument("--no-pictures", action="store_true", help="show skeletons only, never pictures")
    flags.add_argument(
        "--pictures",
        metavar="ENDPOINT",
        type=_endpoint,
        help="endpoint of the pictures, instead of the one that a pipeline announces",
    )
    flags.add_argument(
        "--lost-s",
        metavar="S",
        type=_seconds,
        default=LOST_S,
        help=f"/healthz reports a fault when a camera has been lost for longer than this (default: {LOST_S:g})",
    )
    flags.add_argument(
        "--source-url", metavar="URL", type=_url, help="where users of the page get its source code; shown as a link"
    )
    flags.add_argument(
        "--curve-secret", metavar="FILE", help="file with this reader's secret key, if the publishers use keys"
    )
    flags.add_argument("--curve-server", metavar="FILE", help="file with the publishers' public key")
    flags.add_argument("--log-format", choices=("text", "json"), default="text", help="format of the log (stderr)")
    flags.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="least severe level that is logged",
    )
    # For --web of the pipeline, which binds the socket itself and ends this program with its own end.
    flags.add_argument("--listen-fd", metavar="N", type=int, help=argparse.SUPPRESS)
    flags.add_argument("--until-eof", action="store_true", help=argparse.SUPPRESS)
    return flags


def _endpoint(text: str) -> str:
    parsed = parse_endpoint(text)
    if parsed is None or not parsed.can_connect:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected tcp://HOST:PORT (port 1..65535) or ipc://PATH")
    return text


def _address(text: str) -> Endpoint:
    parsed = parse_address(text)
    if parsed is None or not parsed.can_connect:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected HOST:PORT or a port, 1..65535")
    return parsed


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= LONGEST_S:
            return float(text)
    raise argparse.ArgumentTypeError(f"got {text!r}, expected seconds: more than 0, at most {LONGEST_S:g}")


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")) or not text.isprintable() or set(text) & set(" <>\"'"):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected an http:// or https:// URL")
    return text
