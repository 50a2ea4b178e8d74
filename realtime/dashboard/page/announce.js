// SPDX-License-Identifier: MIT
// Tells screen readers when a camera gets into trouble, or out of it.

import { CURRENT, TITLES, TROUBLE } from "./condition.js";

const COLLECT_MS = 1000; // changes of many cameras become one sentence
const NAMED = 3;

/** Writes changes of state into a live region. Starting, and the change between live and idle, are not worth it. */
export class Announcer {
  #states = []; // [name, state] of all cameras, now
  #said = new Map(); // name -> the state that the user knows of; kept for a camera that was removed and comes back
  #timer = 0;

  constructor(region) {
    this.region = region;
  }

  /** Take the states of all cameras, as [name, state]. The first state of a camera is not announced. */
  update(states) {
    this.#states = states;
    for (const [name, state] of states) {
      if (!this.#said.has(name)) this.#said.set(name, isWorth(state) ? state : "live");
    }
    if (this.#news().length > 0) this.#timer ||= setTimeout(() => this.#say(), COLLECT_MS);
  }

  #news() {
    return this.#states.filter(([name, state]) => isWorth(state) && !isSame(state, this.#said.get(name)));
  }

  #say() {
    this.#timer = 0;
    const changes = this.#news();
    if (changes.length === 0) return; // over before it was announced
    for (const [name, state] of changes) this.#said.set(name, state);
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

function isWorth(state) {
  return TROUBLE.has(state) || CURRENT.has(state) || state === "ended";
}

function isSame(a, b) {
  return a === b || (CURRENT.has(a) && CURRENT.has(b));
}
