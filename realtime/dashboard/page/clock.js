// SPDX-License-Identifier: MIT
// The dashboard's clock, as far as this page can know it. Ages are measured by it, never by the browser's own.

// The best of this many answers counts: the one with the shortest round trip, whose error is at most half of it.
const KEPT = 20;
// The assumed round trip of the time in `hello`, whose delay is not measured yet.
const HELLO_ROUND_TRIP_MS = 2000;

/** Milliseconds on a local clock that no one sets. */
export function localMs() {
  return performance.timeOrigin + performance.now();
}

/** Estimates the dashboard's Unix time from its answers to pings. */
export class Clock {
  #samples = []; // {offsetMs, roundTripMs}
  #offsetMs = 0;
  known = false;

  /** Take the time in `hello` as a first guess. */
  hello(nowMs) {
    this.#samples = [];
    this.#add({ offsetMs: nowMs - localMs(), roundTripMs: HELLO_ROUND_TRIP_MS });
  }

  /** Take an answer: the local times of ping and pong, and the dashboard's time between them. */
  pong(sentMs, receivedMs, nowMs) {
    this.#add({ offsetMs: nowMs - (sentMs + receivedMs) / 2, roundTripMs: receivedMs - sentMs });
  }

  #add(sample) {
    // Two true answers can't contradict each other. If they do, one of the clocks was set, or this machine slept.
    this.#samples = this.#samples.filter(
      (old) => Math.abs(old.offsetMs - sample.offsetMs) <= (old.roundTripMs + sample.roundTripMs) / 2 + 5,
    );
    this.#samples.push(sample);
    if (this.#samples.length > KEPT) this.#samples.shift();
    const best = this.#samples.reduce((a, b) => (b.roundTripMs <= a.roundTripMs ? b : a));
    this.#offsetMs = best.offsetMs;
    this.known = true;
  }

  /** The dashboard's Unix time in milliseconds, now. */
  now() {
    return localMs() + this.#offsetMs;
  }
}
