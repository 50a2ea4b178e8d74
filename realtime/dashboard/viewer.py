# SPDX-License-Identifier: MIT
"""What one page gets next: pure logic, without sockets. Time is an argument.

`viewers` offers frames and texts, and sends what `Viewer.next_text` and `Viewer.next_frame` return. A page that is slow
gets fewer frames, each the newest of its camera; what waits for it is bounded, and it is never disconnected for it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from realtime import wire
from realtime.dashboard.frames import Frame
from realtime.dashboard.window import Window

# Cameras that a page may watch at the same time.
MOST_WATCHED = 256
# An idle camera gets a picture this often (s).
STILL_S = 5.0
# Skeletons without pictures: at most this many per second and camera, and for a page that watches a single camera.
SKELETONS_FPS = 15.0
SKELETONS_FPS_ALONE = 30.0
# Frames of one camera that may be unacknowledged: with one, a page shows at most one frame per round trip. For a tile
# of many that is enough.
IN_FLIGHT = 1
IN_FLIGHT_ALONE = 2
# After this many poses and seconds without a picture, a page that wants pictures gets skeletons: the pipeline may have
# pictures that can't be reached. A camera that sends a frame every 10 s has its picture soon after each pose.
PATIENCE_POSES = 3
PATIENCE_S = 5.0
# A page that has not acknowledged a frame for this long (s) is stopped or hidden: no pictures are encoded for it until
# it does.
STALLED_S = 10.0
# Events that wait for a page; it has seen enough of a flood then.
MOST_EVENTS = 200
# The width class changes when the asked width is beyond the class by more than this, and when a smaller class has this
# much to spare: a window that is resized by a few pixels doesn't flap between two classes.
TOLERANCE_UP = 1.1
TOLERANCE_DOWN = 0.85
_PIXELS = {"320": 320.0, "640": 640.0, "1280": 1280.0, "full": float("inf")}


def width_class(asked: float, current: wire.Width | None = None) -> wire.Width:
    """Return the smallest width class that is not below the asked width.

    >>> width_class(300), width_class(330), width_class(330, current="320"), width_class(5000)
    ('320', '640', '320', 'full')

    Args:
        asked: width of the tile in the pixels of the screen.
        current: the class until now, which is kept if the asked width is close to it.
    """
    ideal = next(width for width in wire.WIDTHS if asked <= _PIXELS[width])
    if current is None or ideal == current:
        return ideal
    if _PIXELS[ideal] > _PIXELS[current]:
        return current if asked <= _PIXELS[current] * TOLERANCE_UP else ideal
    return current if asked > _PIXELS[ideal] * TOLERANCE_DOWN else ideal


@dataclass(slots=True)
class _Sent:
    seq: int
    size: int
    sent_s: float


@dataclass(slots=True)
class Tile:
    """One camera that a page watches.

    Attributes:
        width: width class of its pictures.
        pending: the newest frame that was not sent yet.
        in_flight: frames that were sent and not acknowledged, oldest first.
        sent_s: when a frame was last sent; None before the first.
        due_s: when the next skeleton may be sent.
        waits_s: since when it waits for a picture: the last one, or a change of its width or of the camera's activity.
        missed: poses since then.
        is_idle: whether its camera was idle at the last pose.
    """

    width: wire.Width
    waits_s: float
    pending: Frame | None = None
    in_flight: deque[_Sent] = field(default_factory=deque)
    sent_s: float | None = None
    due_s: float = 0.0
    missed: int = 0
    is_idle: bool = False

    def wants_still(self, now_s: float) -> bool:
        """Whether the next picture of an idle camera is due."""
        return self.sent_s is None or now_s - self.sent_s >= STILL_S

    def is_stalled(self, now_s: float) -> bool:
        """Whether the page has not acknowledged a frame for long, so that it needs no pictures now."""
        return bool(self.in_flight) and now_s - self.in_flight[0].sent_s > STALLED_S

    def lacks_picture(self, is_idle: bool, now_s: float) -> bool:
        """Count a pose, and return whether no pictures come although they should."""
        if is_idle != self.is_idle:
            self.is_idle = is_idle
            self.wait(now_s)
        self.missed += 1
        since_s = max(self.waits_s, self.sent_s + STILL_S) if is_idle and self.sent_s is not None else self.waits_s
        return self.missed >= PATIENCE_POSES and now_s - since_s > PATIENCE_S

    def wait(self, now_s: float) -> None:
        """Begin to wait for a picture."""
        self.waits_s, self.missed = now_s, 0


@dataclass(slots=True)
class Traffic:
    """Counts of the frames for all pages, by width class; None: skeletons without pictures.

    Attributes:
        sent: frames that were sent.
        skipped: frames that a newer one replaced before the page could take them.
        size: bytes of the frames that were sent.
    """

    sent: Counter[wire.Width | None] = field(default_factory=Counter)
    skipped: Counter[wire.Width | None] = field(default_factory=Counter)
    size: int = 0


class Viewer:
    """One page: the cameras it watches, and what waits for it.

    Args:
        traffic: counts its frames.

    Attributes:
        tiles: what it watches, by the name of the camera.
        wants_pictures: False: skeletons only.
        details: camera whose details it asked for.
        window: the bytes on their way to it.
    """

    def __init__(self, traffic: Traffic | None = None) -> None:
        self._traffic = Traffic() if traffic is None else traffic
        self.tiles: dict[str, Tile] = {}
        self.wants_pictures = True
        self.details: str | None = None
        self.window = Window()
        self._texts: dict[str, str] = {}
        self._events: deque[str] = deque(maxlen=MOST_EVENTS)

    # ---- from the page

    def watch(self, widths: Iterable[tuple[str, float]], wants_pictures: bool, now_s: float) -> None:
        """Replace the list of watched cameras.

        Args:
            widths: name of each visible camera, and the width of its tile in the pixels of the screen.
            wants_pictures: False: skeletons only.
            now_s: monotonic time (s).
        """
        if wants_pictures != self.wants_pictures:
            for tile in self.tiles.values():
                tile.pending = None
        before, self.tiles, self.wants_pictures = self.tiles, {}, wants_pictures
        for name, width in dict(widths).items():
            self.tiles[name] = before.pop(name) if name in before else Tile(width_class(width), now_s)
            self._resize(self.tiles[name], width, now_s)
        for tile in before.values():  # no longer visible: the page need not acknowledge these
            for sent in tile.in_flight:
                self.window.lost(sent.size)

    def shown(self, camera: str, seq: int, width: float | None, now_s: float) -> bool:
        """Record that the page has drawn a frame, and thereby those before it.

        Args:
            camera: name of its camera.
            seq: number of the frame.
            width: width of the tile now.
            now_s: monotonic time (s).

        Returns:
            Whether this frame was on its way.
        """
        tile = self.tiles.get(camera)
        if tile is None:
            return False
        was_sent = any(sent.seq == seq for sent in tile.in_flight)
        if was_sent:
            is_last = False
            while not is_last:
                sent = tile.in_flight.popleft()
                is_last = sent.seq == seq
                self.window.arrived(sent.size, now_s - sent.sent_s, now_s)
        if width is not None:
            self._resize(tile, width, now_s)
        return was_sent

    def _resize(self, tile: Tile, width: float, now_s: float) -> None:
        new = width_class(width, tile.width)
        if new != tile.width:
            tile.width = new
            tile.wait(now_s)

    # ---- for the page

    def tell(self, key: str, text: str) -> None:
        """Queue a text. It replaces an unsent one with the same key."""
        self._texts[key] = text

    def tell_all_cameras(self, text: str) -> None:
        """Queue the list of all cameras. It replaces the unsent records of single cameras."""
        self._texts = {each: waiting for each, waiting in self._texts.items() if not each.startswith("camera")}
        self._texts["cameras"] = text

    def tell_event(self, text: str) -> None:
        """Queue an event. If too many are queued, the oldest are dropped."""
        self._events.append(text)

    def next_text(self) -> str | None:
        """Return the text that is sent next; None if none waits."""
        if self._texts:
            return self._texts.pop(next(iter(self._texts)))
        return self._events.popleft() if self._events else None

    def offer(self, frame: Frame, now_s: float) -> bool:
        """Queue a frame. It replaces an unsent one of its camera.

        Returns:
            Whether it was queued: the page watches the camera in this width.
        """
        tile = self.tiles.get(frame.camera.name)
        if tile is None or (frame.width is not None and (frame.width != tile.width or not self.wants_pictures)):
            return False
        if frame.width is not None:
            tile.wait(now_s)
        if tile.pending is not None:
            self._traffic.skipped[tile.pending.width] += 1
        # A still that isn't due must not wait: it would be old when it is.
        tile.pending = None if frame.is_idle and not tile.wants_still(now_s) else frame
        return tile.pending is not None

    def next_frame(self, now_s: float) -> Frame | None:
        """Return the frame that is sent next and count it as sent; None if none may be sent now.

        Cameras take turns: the one that waited longest since its last frame is first.
        """
        ready = [tile for tile in self.tiles.values() if tile.pending is not None and self._may(tile, now_s)]
        if not ready:
            return None
        tile = min(ready, key=lambda one: -1.0 if one.sent_s is None else one.sent_s)
        frame = tile.pending
        assert frame is not None  # by the choice above
        if not self.window.has_room(frame.size):
            return None
        tile.pending, tile.sent_s = None, now_s
        # Frames arrive unevenly. Counting from the time that was due keeps the rate, up to half a step of delay.
        tile.due_s = max(tile.due_s, now_s - self._step_s() / 2) + self._step_s()
        tile.in_flight.append(_Sent(frame.pose.seq, frame.size, now_s))
        self.window.sent(frame.size)
        self._traffic.sent[frame.width] += 1
        self._traffic.size += frame.size
        return frame

    def wake_s(self, now_s: float) -> float | None:
        """Return when a waiting frame may be sent although nothing else happens; None if never."""
        times = [
            time_s
            for tile in self.tiles.values()
            if tile.pending is not None and self._has_turn(tile) and (time_s := self._due_s(tile)) > now_s
        ]
        return min(times, default=None)

    def _may(self, tile: Tile, now_s: float) -> bool:
        return self._has_turn(tile) and self._due_s(tile) <= now_s

    def _has_turn(self, tile: Tile) -> bool:
        return len(tile.in_flight) < (IN_FLIGHT_ALONE if len(self.tiles) == 1 else IN_FLIGHT)

    def _due_s(self, tile: Tile) -> float:
        """When the waiting frame may be sent."""
        assert tile.pending is not None
        return tile.due_s if tile.pending.width is None else 0.0

    def _step_s(self) -> float:
        return 1.0 / (SKELETONS_FPS_ALONE if len(self.tiles) == 1 else SKELETONS_FPS)
