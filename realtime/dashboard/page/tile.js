// SPDX-License-Identifier: MIT
// A camera's tile on the wall: a button with the picture, the name, the state, people, rate and age.

import { TITLES } from "./condition.js";
import { icon, make, nest, setText } from "./dom.js";
import { View } from "./view.js";
import { count, rate } from "./words.js";

/** What follows the state: people, or for how long a camera has been in trouble. */
export function rest(view) {
  const { state, camera } = view;
  const still = camera.activity === "still" ? ", still" : "";
  if (state === "live") return ` · ${count(camera.people, "person", "people")}${still}`;
  if (state === "idle") return ` · ${camera.people ? count(camera.people, "person", "people") : "no people"}`;
  return view.lasted ? ` · ${view.lasted}` : "";
}

/** A View in a button. */
export class Tile {
  /** @param page what all views share; see View. */
  constructor(camera, page) {
    this.element = make("button", "tile");
    this.element.type = "button";
    this.view = new View(this.element, camera, page);
    this.dot = make("span", "dot");
    this.name = make("span", "name", camera.name);
    this.state = make("span", "state");
    this.rest = make("span", "");
    this.fps = make("span", "fps");
    this.facts = nest("span", "facts", this.state, this.rest, this.fps);
    const words = nest("span", "words", this.name, this.facts);
    const caption = nest("span", "caption", this.dot, words, this.view.ageText);
    this.element.append(this.view.picture, caption, this.view.line);
    this.element.title = camera.name;
    this.element.addEventListener("focus", () => this.view.describe(page.clock.now()));
    this.update(camera);
    this.tick(page.clock.now());
  }

  /** Take the camera's newest state. */
  update(camera) {
    this.view.camera = camera;
  }

  /** Bring the texts up to date. */
  tick(nowMs) {
    this.view.tick(nowMs);
    const { state, camera } = this.view;
    if (this.dot.dataset.icon !== state) {
      this.dot.dataset.icon = state;
      this.dot.replaceChildren(icon(state));
    }
    setText(this.state, TITLES[state]);
    setText(this.rest, rest(this.view));
    setText(this.fps, state === "live" ? ` · ${rate(camera.fps)} fps` : "");
  }
}
