// SPDX-License-Identifier: MIT
// The WebSocket (web/1): connects, connects again, measures the clock, and takes messages apart.

import { localMs } from "./clock.js";

const PING_FAST_MS = 500; // for the first pings, so that ages are exact soon
const PING_MS = 5000;
const FAST_PINGS = 5;
const SILENCE_MS = 20000; // a ping without an answer for this long: the connection is dead
const WAITS_MS = [500, 1000, 2000, 3000];
const BUSY_WAIT_MS = 10000;
const BUSY = 1013;

const utf8 = new TextDecoder();

/**
 * Take a binary message apart.
 *
 * @returns {{header: object, jpeg: Blob | null}}
 * @throws if it is malformed.
 */
export function parseFrame(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(utf8.decode(new Uint8Array(buffer, 4, length)));
  if (typeof header?.camera !== "string" || !Number.isInteger(header.seq)) throw new TypeError("no camera or seq");
  const rest = buffer.byteLength - 4 - length;
  const jpeg = rest > 0 ? new Blob([new Uint8Array(buffer, 4 + length)], { type: "image/jpeg" }) : null;
  return { header, jpeg };
}

/**
 * One connection to the dashboard, which reconnects by itself.
 *
 * `state` is "connecting" (the first time), "open" (hello has arrived), "lost", "token" (a login is needed), "busy" (too
 * many viewers) or "version" (the dashboard speaks another protocol). `sinceMs` is the local time at which it began, and
 * `retryMs` that of the next attempt.
 */
export class Link {
  state = "connecting";
  sinceMs = localMs();
  retryMs = 0;
  reason = "";
  #socket = null;
  #attempts = 0;
  #pings = new Map();
  #pingId = 0;
  #timer = 0;
  #heardMs = 0;

  /**
   * @param {URL} url of the page's base.
   * @param {Clock} clock that is set by hello and pongs.
   * @param {{message: Function, frame: Function, change: Function}} on what to call.
   */
  constructor(url, clock, on) {
    this.url = new URL("ws", url);
    this.url.protocol = this.url.protocol === "https:" ? "wss:" : "ws:";
    this.probe = new URL("api/cameras", url);
    this.clock = clock;
    this.on = on;
    addEventListener("online", () => this.#now());
    document.addEventListener("visibilitychange", () => document.hidden || this.#now());
    setInterval(() => this.#tick(), 500);
    this.#connect();
  }

  /** Send an object, if the connection is up. */
  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #connect() {
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#pings.clear();
    this.#pingId = 0;
    let opened = false;
    socket.onopen = () => (opened = true);
    socket.onmessage = (event) => socket === this.#socket && this.#receive(event.data);
    socket.onclose = (event) => socket === this.#socket && this.#closed(event, opened);
  }

  #now() {
    if (this.state !== "open" && this.#socket === null) this.#connect();
  }

  async #closed(event, opened) {
    this.#socket = null;
    if (this.state === "version") return;
    const wait = event.code === BUSY ? BUSY_WAIT_MS : WAITS_MS[Math.min(this.#attempts, WAITS_MS.length - 1)];
    const jitter = 0.8 + 0.4 * Math.random(); // so that many pages don't reconnect at the same moment
    this.#attempts += 1;
    this.retryMs = localMs() + wait * jitter;
    this.#timer = setTimeout(() => this.#connect(), wait * jitter);
    if (event.code === BUSY) this.#become("busy", event.reason);
    else this.#become("lost", event.code === 1006 ? "" : event.reason);
    if (!opened && (await this.#tokenNeeded()) && this.state === "lost") this.#become("token", "");
  }

  /** A browser doesn't say why a WebSocket was refused, so ask for something else. */
  async #tokenNeeded() {
    try {
      const reply = await fetch(this.probe, { method: "HEAD", cache: "no-store", credentials: "same-origin" });
      return reply.status === 401;
    } catch {
      return false;
    }
  }

  #become(state, reason) {
    if (state !== this.state) {
      // From lost to token and back is the same loss.
      if (state === "open" || this.state === "open" || this.state === "connecting") this.sinceMs = localMs();
      this.state = state;
    }
    this.reason = reason;
    this.on.change();
  }

  #receive(data) {
    this.#heardMs = localMs();
    if (typeof data !== "string") {
      let frame;
      try {
        frame = parseFrame(data);
      } catch (error) {
        console.warn("a frame that can't be read was ignored", error);
        return;
      }
      this.on.frame(frame);
      return;
    }
    let message = null;
    try {
      message = JSON.parse(data);
    } catch {
      // Ignore a text that is not JSON.
    }
    if (typeof message?.type !== "string") return;
    if (message.type === "hello") this.#hello(message);
    else if (message.type === "pong") this.#pong(message);
    this.on.message(message);
  }

  #hello(message) {
    if (message.protocol !== "web/1") {
      this.#become("version", String(message.protocol));
      this.#socket.close();
      return;
    }
    this.clock.hello(message.now_ms);
    this.#attempts = 0;
    this.#become("open", "");
    this.#ping();
  }

  #ping() {
    if (this.state !== "open") return;
    this.#pingId += 1;
    this.#pings.set(this.#pingId, localMs());
    this.send({ type: "ping", id: this.#pingId });
  }

  #pong(message) {
    const sentMs = this.#pings.get(message.id);
    if (sentMs === undefined) return;
    for (const id of this.#pings.keys()) if (id <= message.id) this.#pings.delete(id);
    this.clock.pong(sentMs, localMs(), message.now_ms);
    if (message.id < FAST_PINGS) setTimeout(() => this.#ping(), PING_FAST_MS);
  }

  #tick() {
    if (this.state !== "open" || this.#socket === null) return;
    const nowMs = localMs();
    const [oldest] = this.#pings.values();
    if (oldest !== undefined && nowMs - Math.max(oldest, this.#heardMs) > SILENCE_MS) {
      const socket = this.#socket;
      this.#closed({ code: 1006, reason: "" }, true);
      socket.close();
    } else if (this.#pingId >= FAST_PINGS && this.#pings.size === 0 && nowMs - this.#lastPingMs > PING_MS) {
      this.#lastPingMs = nowMs;
      this.#ping();
    }
  }

  #lastPingMs = 0;
}
