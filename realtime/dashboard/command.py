# SPDX-License-Identifier: MIT
"""The command line of the dashboard: flags -> settings -> `serve`, errors as one line, exit codes."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from realtime.dashboard.settings import Settings
from realtime.home import home_path
from realtime.printable import Parser, say
from realtime.wire.endpoints import Endpoint, is_host_name, is_web_url, parse_address, parse_endpoint
from realtime.wire.reading import DEFAULT_ENDPOINT, load_keys
from realtime.wire.small_file import read_small

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from realtime.dashboard.site import Site

DEFAULT_ADDRESS = "127.0.0.1:8080"
# Shortest token (characters), and largest file of one (bytes).
LEAST_TOKEN = 16
MOST_TOKEN_BYTES = 4 * 1024
# Default and upper limit of --lost-s (s).
LOST_S = 30.0
LONGEST_S = 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until SIGINT or SIGTERM.

    Returns:
        Exit code: 0 when stopped by a signal or by the end of standard input, 2 for an invalid argument, a bad or busy
        address or a missing library, 1 for any other failure.
    """
    try:
        return _serve(parser().parse_args(arguments))
    except ValueError as error:
        say(f"error: {error}")
        return 2
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("", "realtime"):
            raise
        say(f"error: {library} is not installed: pip install 'realtime-pose[web]'")
        return 2
    except KeyboardInterrupt:
        return 0


def _serve(options: argparse.Namespace) -> int:
    """Check everything that a user can get wrong, then serve.

    Raises:
        ValueError: a setting is wrong.
    """
    settings = _settings(options)
    # Imported here, because --help needs none of these libraries.
    from realtime.dashboard import listen, serve
    from realtime.dashboard.logs import set_up_logging

    set_up_logging(options.log_level, options.log_format)
    with _named("bind" if options.listen_fd is None else "listen-fd"):
        inherited = options.listen_fd is not None
        listener = listen.inherit(options.listen_fd) if inherited else listen.bind(options.bind)
    with listener:
        if not (listen.is_local(listener) or settings.token or options.allow_insecure):
            raise ValueError(
                f"bind: anyone on the network could watch {listen.url(listener)}: bind to 127.0.0.1, set a token with "
                "--token-file, or accept it with --allow-insecure"
            )
        serve.run(settings, listener, _routes, options.until_eof, options.leftover)
    return 0


def _routes(site: Site) -> list[BaseRoute]:
    from realtime.dashboard import api, health, metrics

    return [*health.routes(site), *metrics.routes(site), *api.routes(site)]


def _settings(options: argparse.Namespace) -> Settings:
    connect = tuple(dict.fromkeys(options.connect or [DEFAULT_ENDPOINT]))
    if options.pictures is not None and len(connect) > 1:
        raise ValueError(
            "pictures: got more than one --connect, expected one: each pipeline announces its own pictures"
        )
    with _named("token-file"):
        token = None if options.token_file is None else read_token(options.token_file)
    return Settings(
        connect=connect,
        token=token,
        hosts=tuple(options.host),
        has_pictures=not options.no_pictures,
        pictures=options.pictures,
        lost_s=options.lost_s,
        source_url=options.source_url,
        keys=load_keys(options.curve_secret, options.curve_server),
    )


@contextlib.contextmanager
def _named(flag: str) -> Iterator[None]:
    """Name the flag in the error of its value."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from None


def read_token(file: Path) -> str:
    """Read the token that viewers enter.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "token"
    ...     _ = file.write_text("an example, not a secret\\n")
    ...     file.chmod(0o600)
    ...     read_token(file)
    'an example, not a secret'

    Raises:
        ValueError: it can't be read, others can, or it is too short.
    """
    try:
        token = read_small(file, MOST_TOKEN_BYTES).decode("utf-8-sig").strip()  # Windows may put a mark at its start
        is_open = os.name == "posix" and bool(file.stat().st_mode & 0o077)
    except UnicodeDecodeError:
        raise ValueError(f"{file}: not UTF-8 text, expected a line of text") from None
    except (ValueError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{file}: {why}; expected a file with a token") from None
    if is_open:
        raise ValueError(f"other users can access {file}: run chmod 600 {file}")
    if len(token) < LEAST_TOKEN or not token.isprintable():
        got = f"{len(token)} characters" if token.isprintable() else "more than one line"
        raise ValueError(
            f"{file}: got {got}, expected one line of at least {LEAST_TOKEN}; make one with "
            f"python -c 'import secrets; print(secrets.token_hex())'"
        )
    return token


def parser() -> argparse.ArgumentParser:
    """Return the parser of the flags."""
    flags = _Parser(
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
        type=_host,
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
    # A folder to remove at that end, because a pipeline that was killed can't do it.
    flags.add_argument("--leftover", metavar="FOLDER", type=Path, help=argparse.SUPPRESS)
    return flags


class _Parser(Parser):
    def error(self, message: str) -> NoReturn:
        """Print the error in one line, without the usage, and exit with code 2."""
        say(f"error: {message}; see {self.prog} --help")
        raise SystemExit(2)


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


def _host(text: str) -> str:
    if not is_host_name(text):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a name without scheme and port: cams.example.org")
    return text


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= LONGEST_S:
            return float(text)
    raise argparse.ArgumentTypeError(f"got {text!r}, expected seconds: more than 0, at most {LONGEST_S:g}")


def _url(text: str) -> str:
    if not is_web_url(text):
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected an http:// or https:// URL without spaces, quotes, < and >"
        )
    return text
