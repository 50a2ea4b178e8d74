// SPDX-License-Identifier: MIT
// The event log: of all cameras in the overview, of one in the large view.

import { make, nest } from "./dom.js";
import { timeOfDay } from "./words.js";

const KEPT = 500;
const SHOWN = 200;

/** Keeps the newest events, and writes lists of them. */
export class Log {
  #events = [];

  /** Replace all events by those that the dashboard remembers. */
  reset(events) {
    this.#events = events.slice(-KEPT);
  }

  add(event) {
    this.#events.push(event);
    if (this.#events.length > KEPT) this.#events.shift();
  }

  /** The newest events first, of one camera or, for null, of all. */
  write(list, camera, nowMs) {
    const events = this.#events.filter((event) => camera === null || event.camera === camera);
    const rows = events.slice(-SHOWN).reverse().map((event) => row(event, camera === null, nowMs));
    list.replaceChildren(...(rows.length ? rows : [make("li", "quiet", "Nothing has happened yet.")]));
  }
}

function row(event, withCamera, nowMs) {
  const time = make("time", "event-time", timeOfDay(event.time_ms, nowMs));
  const item = nest("li", "event", time);
  if (withCamera && event.camera) item.append(make("span", "event-camera", event.camera));
  item.append(make("span", "event-text", event.text));
  item.dataset.kind = event.kind;
  return item;
}
