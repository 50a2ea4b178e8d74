"""A page without a browser: the WebSocket that `Viewers` talks to, for tests."""

import asyncio
import json
import struct

from starlette.websockets import WebSocketDisconnect


class Page:
    """Collects what it gets. `texts` and `frames` fill up while its `viewers.serve` runs."""

    def __init__(self):
        self.scope = {"type": "websocket"}
        self.texts, self.frames, self.closed = [], [], None
        self._said = asyncio.Queue()

    # ---- what a test does

    def say(self, **message):
        self._said.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    def say_text(self, text):
        self._said.put_nowait({"type": "websocket.receive", "text": text})

    def say_bytes(self, data):
        self._said.put_nowait({"type": "websocket.receive", "bytes": data})

    def leave(self):
        self._said.put_nowait({"type": "websocket.disconnect", "code": 1001})

    def of(self, kind):
        return [text for text in self.texts if text["type"] == kind]

    # ---- what the program does

    async def accept(self):
        pass

    async def receive(self):
        return await self._said.get()

    async def send_text(self, text):
        if self.closed:
            raise WebSocketDisconnect(1006)
        self.texts.append(json.loads(text))

    async def send_bytes(self, data):
        (length,) = struct.unpack("<I", data[:4])
        self.frames.append(json.loads(data[4 : 4 + length]))

    async def close(self, code, reason):
        self.closed = code, reason
