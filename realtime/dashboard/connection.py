# SPDX-License-Identifier: MIT
"""One WebSocket: reads the messages of a page, and sends what its `Viewer` has for it, as fast as the page reads."""

from __future__ import annotations

import asyncio
import time

from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime.dashboard import protocol
from realtime.dashboard.clock import Moment
from realtime.dashboard.viewer import Traffic, Viewer

# Messages per second that a page may send besides acknowledgements of frames, whose number we choose ourselves.
MOST_PER_S = 200
# How long sending the error before a close may take (s).
ERROR_S = 1.0
# Codes of a close (RFC 6455, 7.4.1).
NOT_TEXT, NOT_READABLE, TOO_MANY, TRY_LATER = 1003, 1007, 1008, 1013


class Misuse(Exception):  # noqa: N818 - it ends a connection
    """The page broke the protocol.

    Attributes:
        code: code of the close.
    """

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Connection:
    """A page and its socket.

    Args:
        websocket: accepted.
        traffic: counts the frames that are sent.

    Attributes:
        viewer: what the page watches and what waits for it.
        wake: set when something may be sent.
    """

    def __init__(self, websocket: WebSocket, traffic: Traffic) -> None:
        self.viewer = Viewer(traffic)
        self.wake = asyncio.Event()
        self._websocket = websocket
        self._allowance, self._allowed_s = float(MOST_PER_S), time.monotonic()

    async def send_all(self) -> None:
        """Send what waits until the connection ends or this is cancelled.

        A frame is chosen when the socket can take it, not before, because it would be old by then.
        """
        # The WebSocket protocol in `serve` puts it there. Without it, sending waits, after the choice.
        writable: asyncio.Event | None = self._websocket.scope.get("realtime.writable")
        while True:
            if writable is not None:
                await writable.wait()
            self.wake.clear()
            now = Moment.now()
            if (text := self.viewer.next_text()) is not None:
                await self._websocket.send_text(text)
            elif (frame := self.viewer.next_frame(now.mono_s)) is not None:
                await self._websocket.send_bytes(frame.message(now))
            else:
                await self._wait(self.viewer.wake_s(now.mono_s))

    async def _wait(self, until_s: float | None) -> None:
        """Wait until something happens, or for this time (monotonic s)."""
        if until_s is None:
            await self.wake.wait()
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(max(0.0, until_s - time.monotonic()), self.wake.set)
        try:
            await self.wake.wait()
        finally:
            timer.cancel()

    async def receive(self) -> protocol.FromPage:
        """Wait for the next message of the page.

        Raises:
            Misuse: it can't be read.
            WebSocketDisconnect: the page is gone.
        """
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1005)
        text = message.get("text")
        if text is None:
            raise Misuse(NOT_TEXT, "got a binary message, expected text")
        try:
            return protocol.decode(text)
        except ValueError as error:
            raise Misuse(NOT_READABLE, f"can't read the message: {error}"[:100]) from None

    def take_allowance(self) -> None:
        """Count one message of the page.

        Raises:
            Misuse: it sends too many messages.
        """
        now_s = time.monotonic()
        self._allowance = min(MOST_PER_S, self._allowance + (now_s - self._allowed_s) * MOST_PER_S) - 1
        self._allowed_s = now_s
        if self._allowance < 0:
            raise Misuse(TOO_MANY, f"more than {MOST_PER_S} messages per second")

    async def close(self, misuse: Misuse) -> None:
        """Send the page an error message and close."""
        try:
            async with asyncio.timeout(ERROR_S):
                await self._websocket.send_text(protocol.encode("error", text=str(misuse)))
                await self._websocket.close(misuse.code, str(misuse))
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            pass  # it doesn't read, or is gone
