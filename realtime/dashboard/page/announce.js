// SPDX-License-Identifier: MIT
// Tells screen readers when a camera gets into trouble, or out of it.

import { CURRENT, TITLES, TROUBLE } from "./condition.js";

const COLLECT_MS = 1000; // changes of many cameras become one sentence
const NAMED = 3;

/** Writes changes of state into a live region. */
export class Announcer {
  #changes = new Map(); // name -> state
  #timer = 0;

  constructor(region) {
    this.region = region;
  }

  /** A camera's state has changed. Starting, and the change between live and idle, are not worth an interruption. */
  changed(camera, before, after) {
    const worth = TROUBLE.has(after) || after === "ended" || (TROUBLE.has(before) && CURRENT.has(after));
    if (!worth) return;
    this.#changes.set(camera.name, after);
    this.#timer ||= setTimeout(() => this.#say(), COLLECT_MS);
  }

  #say() {
    this.#timer = 0;
    const changes = [...this.#changes];
    this.#changes.clear();
    if (changes.length <= NAMED) {
      this.region.textContent = changes.map(([name, state]) => `${name}: ${TITLES[state].toLowerCase()}`).join(". ");
      return;
    }
    const counts = new Map();
    for (const [, state] of changes) counts.set(state, (counts.get(state) ?? 0) + 1);
    const words = [...counts].map(([state, n]) => `${n} ${TITLES[state].toLowerCase()}`).join(", ");
    this.region.textContent = `${changes.length} cameras have changed: ${words}`;
  }
}
