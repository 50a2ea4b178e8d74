"""Run a command, or post JSON to a URL, when a camera is lost and when it is back.

python examples/alert.py --run 'mail -s "camera alert" me@example.org'
python examples/alert.py --url https://example.org/hook

A camera is lost if it has been `reconnecting` or `failed` for --lost-s seconds, or if its status has not come for as
long (`no publisher`). A camera that has ended, as a file does, or that was removed is not lost. The event is a JSON
object: the body of the POST, and the command's standard input. ALERT_WHAT, ALERT_CAMERA, ... contain its values.
"""

import argparse
import contextlib
import json
import math
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from urllib.error import HTTPError, URLError

from realtime.client import DEFAULT_ENDPOINT, PoseSubscriber
from realtime.printable import say
from realtime.wire import StatusMessage

SILENT_S = 3.0  # the status of each camera comes every second
TIMEOUT_S = 10.0  # how long the command and the server may take
RETRY_S = 5.0
LANES = 4  # deliveries at the same time; those of one camera keep their order
MOST_WAITING = 100  # alerts per lane
MOST_CAMERAS = 1000  # per publisher
URL = r"https?://(\[[\da-fA-F:.]+\]|[^\s@/?#:\[\]]+)(:\d{1,5})?([/?#][!-~]*)?"


@dataclass
class Camera:
    """What is known of a camera."""

    heard_s: float  # monotonic
    state: str | None = None
    reason: str | None = None
    bad_since_s: float | None = None  # monotonic; None while all is well
    was_live: bool = False
    is_lost: bool = False  # this was told


class Watch:
    """Decides when the cameras of one publisher are lost and back; all of its cameras, unless `names` lists them."""

    def __init__(self, publisher: str, names: list[str] | None, lost_s: float, now_s: float) -> None:
        self.publisher, self.names, self.lost_s = publisher, names, lost_s
        self.heard_s, self.was_heard = now_s, False
        # None stands for the cameras of a publisher until it is heard.
        self.cameras: dict[str | None, Camera] = {name: Camera(now_s) for name in names or [None]}

    def seen(self, status: StatusMessage, now_s: float) -> list[dict]:
        """Return the events that a status message causes at this monotonic time."""
        events, self.heard_s, self.was_heard = [], now_s, True
        if self.names and status.camera not in self.names:
            return events  # only shows that the publisher runs
        if (unnamed := self.cameras.pop(None, None)) and unnamed.is_lost:
            unnamed.reason = None
            events.append(self._event("back", None, unnamed, now_s))
        camera = self.cameras.pop(status.camera, None) or Camera(now_s)
        # For how long it has been in this state: it may have been lost before this script began to watch.
        age_s = time.time() - status.since_ns / 1e9 if status.since_ns else 0.0
        age_s = min(age_s, status.uptime_s if camera.state is None else now_s - camera.heard_s)
        camera.heard_s, camera.state, camera.reason = now_s, status.state, (status.reason or "")[:200] or None
        has_ended = status.state == "ended" and status.reason != "stopped"  # the end of a file, or it was removed
        if (
            has_ended
            or status.state == "live"
            or (status.state == "starting" and not camera.was_live and not camera.is_lost)
        ):
            if camera.is_lost:
                events.append(self._event("ended" if has_ended else "back", status.camera, camera, now_s))
            camera.bad_since_s, camera.was_live, camera.is_lost = None, status.state == "live", False
        elif camera.bad_since_s is None:
            camera.bad_since_s = now_s - max(0.0, age_s)
        if not has_ended and len(self.cameras) < MOST_CAMERAS:
            self.cameras[status.camera] = camera
        return events

    def due(self, now_s: float) -> list[dict]:
        """Return an event for each camera that has just been lost for long enough."""
        events = []
        for name, camera in self.cameras.items():
            if now_s - camera.heard_s >= SILENT_S:
                camera.reason = "no publisher" if now_s - self.heard_s >= SILENT_S else "no status"
                camera.bad_since_s = camera.heard_s if camera.bad_since_s is None else camera.bad_since_s
            if not camera.is_lost and camera.bad_since_s is not None and now_s - camera.bad_since_s >= self.lost_s:
                camera.is_lost = True
                events.append(self._event("lost", name, camera, now_s))
        return events

    def _event(self, what: str, name: str | None, camera: Camera, now_s: float) -> dict:
        lost_s = now_s - camera.bad_since_s
        return {
            "what": what,  # lost; back; or ended: it was lost and won't come back, for example because it was removed
            "publisher": self.publisher,
            "camera": name,
            "state": camera.state,
            "reason": camera.reason,
            "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - lost_s)),
            "seconds": round(lost_s),
        }


def run(command: list[str], event: dict) -> None:
    variables = {f"ALERT_{key.upper()}": str(value or "").replace("\0", "") for key, value in event.items()}
    # In a session of its own: Ctrl-C doesn't reach it, and all that it started can be ended.
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | variables, start_new_session=True) as child:
        try:
            child.communicate(json.dumps(event).encode(), TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            raise TimeoutError from None
    if child.returncode:
        raise RuntimeError(f"exit code {child.returncode}")


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, without the event."""

    redirect_request = staticmethod(lambda *_: None)


def post(url: str, event: dict) -> None:
    request = urllib.request.Request(url, json.dumps(event).encode(), {"Content-Type": "application/json"})
    urllib.request.build_opener(NoRedirect).open(request, timeout=TIMEOUT_S).close()


def why(error: BaseException) -> str:
    """The cause in words, without the URL, which may contain a secret."""
    if isinstance(error, HTTPError):
        return f"the server answers {error.code}"
    if isinstance(error, URLError) and isinstance(error.reason, Exception):
        return why(error.reason)
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    return str(error) if isinstance(error, RuntimeError) else getattr(error, "strerror", None) or type(error).__name__


class Output:
    """Delivers events on LANES threads, so that a server or command that hangs delays no camera of another lane."""

    def __init__(self, name: str, deliver: Callable[[dict], None]) -> None:
        self.name, self.deliver = name, deliver
        self.lanes: list[queue.Queue[dict]] = [queue.Queue(MOST_WAITING) for _ in range(LANES)]
        for lane in self.lanes:
            threading.Thread(target=self._work, args=[lane], daemon=True).start()

    def put(self, event: dict) -> None:
        """Deliver it soon. The alerts of one camera keep their order."""
        try:
            self.lanes[hash((event["publisher"], event["camera"])) % LANES].put_nowait(event)
        except queue.Full:
            say(f"{told(event)}: not delivered by {self.name}, because {MOST_WAITING} alerts are waiting")

    def _work(self, lane: queue.Queue[dict]) -> None:
        while True:
            event = lane.get()
            for next_step in (f"trying again in {RETRY_S:g} s", "giving up"):
                try:
                    self.deliver(event)
                    break
                except Exception as error:
                    say(f"{told(event)}: {self.name} failed: {why(error)}; {next_step}")
                if next_step != "giving up":
                    time.sleep(RETRY_S)


def told(event: dict) -> str:
    camera = f"{event['camera']} of {event['publisher']}" if event["camera"] else event["publisher"]
    reason = f" ({event['reason']})" if event["reason"] else ""
    return f"{camera}: {event['what']} {'for' if event['what'] == 'lost' else 'after'} {event['seconds']} s{reason}"


def follow(subscribers: list[PoseSubscriber], watches: list[Watch]) -> Iterator[dict]:
    """Yield the events of all publishers, for ever."""
    hints = {watch: time.monotonic() + 5 for watch in watches}
    while True:
        for subscriber, watch in zip(subscribers, watches, strict=True):
            wait_s = 0.5 / len(watches)
            try:
                while said := subscriber.statuses(wait_s):
                    for status in said:
                        yield from watch.seen(status, time.monotonic())
                    wait_s = 0.0
            except ValueError as error:  # a publisher of another version, or another program
                if hints.pop(watch, None):
                    say(f"{watch.publisher}: {error}")
            yield from watch.due(time.monotonic())
            if not watch.was_heard and time.monotonic() > hints.get(watch, math.inf):
                del hints[watch]
                say(f"{watch.publisher}: no status for 5 s: is it running, is --camera right, does it want a key?")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connect", metavar="ENDPOINT", action="append", help=f"repeatable ({DEFAULT_ENDPOINT})")
    parser.add_argument("--camera", metavar="NAME", action="append", help="watch only this camera; repeatable (all)")
    parser.add_argument("--lost-s", metavar="N", type=float, default=30, help="seconds until an alert (30)")
    parser.add_argument("--run", metavar="COMMAND", help="a command, which is started without a shell")
    hidden = "; in the variable ALERT_URL, other users of this machine can't see it"
    parser.add_argument("--url", default=os.environ.get("ALERT_URL") or None, help="an address to post to" + hidden)
    parser.add_argument("--curve-secret", metavar="FILE", help="this reader's secret key, if the publisher uses keys")
    parser.add_argument("--curve-server", metavar="FILE", help="the publisher's public key")
    options = parser.parse_args()
    if not 0 < options.lost_s < 1e6:
        parser.error(f"--lost-s: got {options.lost_s:g}, expected seconds, more than 0")
    if options.url is not None and not re.fullmatch(URL, options.url):
        parser.error("--url: expected http://HOST/... or https://HOST/..., without a user name")
    outputs = [] if options.url is None else [Output("--url", partial(post, options.url))]
    if options.run is not None:
        try:
            command = shlex.split(options.run)
        except ValueError as error:
            parser.error(f"--run: {error}")
        if not command or not shutil.which(command[0]):
            parser.error(f"--run: got {(command or ['nothing'])[0]!r}, expected a program that is installed")
        outputs.append(Output("--run", partial(run, command)))
    endpoints = list(dict.fromkeys(options.connect or [DEFAULT_ENDPOINT]))
    keys = {"curve_secret": options.curve_secret, "curve_server": options.curve_server}
    try:
        subscribers = [PoseSubscriber(endpoint, until_end=False, **keys) for endpoint in endpoints]
    except ValueError as error:
        parser.exit(2, f"{error}\n")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it as Ctrl-C does
    with contextlib.suppress(KeyboardInterrupt):
        say(f"watching {', '.join(endpoints)}; a camera is lost after {options.lost_s:g} s")
        watches = [Watch(endpoint, options.camera, options.lost_s, time.monotonic()) for endpoint in endpoints]
        for event in follow(subscribers, watches):
            say(f"{time.strftime('%H:%M:%S')} {told(event)}")
            for output in outputs:
                output.put(event)
    return 0


if __name__ == "__main__":
    sys.exit(main())
