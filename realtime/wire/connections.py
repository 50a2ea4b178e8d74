# SPDX-License-Identifier: MIT
"""The connections of a reader: a SUB socket for each endpoint, and whether a publisher is there.

Used by wire.subscriber and wire.command.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import zmq

from realtime.wire.endpoints import endpoint_at_home
from realtime.wire.keys import Key
from realtime.wire.reading import open_socket, wait_ms

# libzmq reports these to a socket of ours. It blocks when 2000 reports wait there, so it must not be told to report
# each attempt to connect. A reader that reads nothing for minutes may still block it, and frees it with its next call.
_CONNECTED, _LOST = zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_DISCONNECTED
_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH
_REFUSALS = _REFUSED | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
# libzmq gives up a publisher for good if it refuses a key, breaks the protocol or sends a message that is too long. So
# the reader connects again itself: this long (s) after a refusal, because keys can be added, and after a loss, which
# libzmq itself usually repairs sooner.
_AFTER_REFUSAL_S, _AFTER_LOSS_S = 2.0, 10.0


@dataclass(eq=False)
class _Connection:
    endpoint: str
    socket: zmq.Socket[bytes]
    monitor: zmq.Socket[bytes]
    is_connected: bool = False
    refusal: int = 0  # the event of the last handshake, if it failed
    again_s: float | None = None  # when to connect again; monotonic


class Connections:
    """Receives from several publishers, and knows from which one each message came. For one thread.

    Args:
        endpoints: tcp://HOST:PORT or ipc://PATH.
        topics: subscriptions.
        keys: this reader's key pair and the publisher's public key; None if the stream needs no keys.
        on_change: called with the position of an endpoint, and whether the reader is connected to it now.

    Raises:
        ValueError: an endpoint is not one of ours, or can't be connected to.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        topics: Sequence[bytes],
        keys: tuple[Key, Key] | None,
        on_change: Callable[[int, bool], None] = lambda position, is_connected: None,
    ) -> None:
        self._has_keys, self._on_change = keys is not None, on_change
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._all: list[_Connection] = []
        self._poller = zmq.Poller()
        self._turn = 0
        try:
            for endpoint in endpoints:
                socket = open_socket(self._context, endpoint, topics, keys, events=_CONNECTED | _LOST | _REFUSALS)
                self._all.append(_Connection(endpoint, socket, socket.get_monitor_socket()))
        except BaseException:
            self.close()
            raise
        for each in self._all:
            self._poller.register(each.socket, zmq.POLLIN)
            self._poller.register(each.monitor, zmq.POLLIN)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._context.closed

    @property
    def is_connected(self) -> bool:
        """Whether the reader is connected to any of the publishers."""
        return any(each.is_connected for each in self._all)

    def close(self) -> None:
        """Disconnect without waiting. Safe to call twice."""
        for each in self._all:  # first, because libzmq waits for it if it is full
            each.monitor.close(linger=0)
        self._context.destroy(linger=0)

    def take(self) -> tuple[int, list[bytes]] | None:
        """Return the next message that waits, with the position of its endpoint; None if none does.

        The endpoints take turns.
        """
        for _ in self._all:
            self._turn = (self._turn + 1) % len(self._all)
            with contextlib.suppress(zmq.Again):
                return self._turn, self._all[self._turn].socket.recv_multipart(zmq.NOBLOCK)
        return None

    def wait(self, until_s: float | None) -> None:
        """Wait until a message waits, a connection has changed, or this monotonic time (s); None: no limit.

        Call it only if `take` has returned None: to connect again drops the messages that wait.
        """
        times_s = [each.again_s for each in self._all if each.again_s is not None]
        self._poller.poll(wait_ms(min(times_s + ([] if until_s is None else [until_s]), default=None)))
        self.look()
        now_s = time.monotonic()
        for each in self._all:
            if each.again_s is not None and now_s >= each.again_s:
                each.again_s = None
                address = os.fsencode(endpoint_at_home(each.endpoint))
                with contextlib.suppress(zmq.ZMQError):
                    each.socket.disconnect(address)  # a path need not be UTF-8
                with contextlib.suppress(zmq.ZMQError):
                    each.socket.connect(address)  # type: ignore[arg-type]

    def look(self) -> None:
        """Report the connections that have changed, without waiting."""
        now_s = time.monotonic()
        for position, each in enumerate(self._all):
            with contextlib.suppress(zmq.Again):
                while True:
                    self._changed(position, each, each.monitor.recv_multipart(zmq.NOBLOCK)[0], now_s)

    def _changed(self, position: int, each: _Connection, report: bytes, now_s: float) -> None:
        (event,) = struct.unpack_from("=H", report)
        if event & _REFUSALS:
            each.refusal, each.again_s = event, now_s + _AFTER_REFUSAL_S
            return
        was_connected, each.is_connected = each.is_connected, event == _CONNECTED
        if each.is_connected:
            each.refusal, each.again_s = 0, None
        elif each.again_s is None:
            each.again_s = now_s + _AFTER_LOSS_S
        if each.is_connected != was_connected:
            self._on_change(position, each.is_connected)

    def trouble(self, position: int) -> str:
        """Say in words why nothing has come from an endpoint."""
        each = self._all[position]
        where = f"{each.endpoint}: " if len(self._all) > 1 else ""
        if each.is_connected:
            return f"{where}connected, but nothing was sent yet: do its models still load, or is a camera's name wrong?"
        if each.refusal == _REFUSED:
            return (
                f"{where}the publisher does not accept this reader's key: its folder of readers' keys must contain it"
            )
        if each.refusal and self._has_keys:
            return f"{where}the connection fails: is this the publisher's key, and does it use keys?"
        if each.refusal:
            return f"{where}the publisher closes the connection: does it require keys, and is it a pose stream?"
        return f"{where}no connection: is the publisher running?"
