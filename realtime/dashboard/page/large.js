// SPDX-License-Identifier: MIT
// The large view of one camera.

import { TITLES } from "./condition.js";
import { panels } from "./details.js";
import { icon, iconButton, make, nest, setData, setText } from "./dom.js";
import { History } from "./history.js";
import { rest } from "./tile.js";
import { View } from "./view.js";
import { rate } from "./words.js";

/** Shows one camera at a time, or that there is none of this name. */
export class Large {
  name = null; // of the camera that is open
  view = null;
  #details = null;
  #written = "";
  #dirty = true;

  /** @param on {close, step, log}: what the buttons do, and the event log. */
  constructor(element, page, on) {
    this.element = element;
    this.page = page;
    this.on = on;
    const button = (name, text, action) => {
      const made = iconButton(make("button", "tool", text), name);
      made.type = "button";
      made.addEventListener("click", action);
      return made;
    };
    this.state = make("span", "dot");
    this.title = make("h2", "large-name");
    this.title.id = "large-name";
    this.stateText = make("span", "state");
    this.rest = make("span", "");
    const facts = nest("p", "large-facts", this.stateText, this.rest);
    this.figure = make("div", "stagebox");
    this.strip = make("canvas", "strip");
    this.history = new History(this.strip);
    this.panels = make("div", "panels");
    this.list = make("ol", "events");
    this.back = button("close", "Close", on.close);
    this.bar = nest("div", "large-bar", this.state, nest("div", "words", this.title, facts),
      button("previous", "Previous camera", () => on.step(-1)), button("next", "Next camera", () => on.step(1)), this.back);
    const strip = nest("div", "strip-box", make("p", "panel-title", "Age of the picture over the last minute"), this.strip);
    const log = nest("section", "panel", make("h3", "panel-title", "Events"), this.list);
    element.append(nest("div", "large-main", this.bar, this.figure, strip), nest("aside", "side", this.panels, log));
  }

  /** Open a camera; `camera` is null if there is none of this name (yet). */
  open(name, camera, from) {
    if (this.name !== name) {
      this.#details = null;
      this.history.clear();
      this.#forget();
    }
    this.name = name;
    this.element.hidden = false;
    this.#dirty = true;
    setText(this.title, name);
    if (camera && !this.view) this.#build(camera, from);
    else if (!camera) this.#missing();
    this.tick(this.page.clock.now());
  }

  #build(camera, from) {
    const element = make("div", "");
    const view = new View(element, camera, this.page);
    view.ageText.classList.add("age-large");
    element.append(view.picture, nest("span", "under", view.line, view.ageText));
    element.setAttribute("role", "img");
    this.view = view;
    this.figure.replaceChildren(element);
    view.draw();
    if (from?.frame) this.#borrow(view, from);
  }

  /** Begin with the picture of the tile, until a larger one arrives. */
  async #borrow(view, from) {
    const frame = from.frame;
    const bitmap = await from.copy();
    if (this.view === view && !view.frame) view.show(frame, bitmap);
    else bitmap?.close();
  }

  #missing() {
    this.#forget();
    this.figure.replaceChildren(make("p", "missing", "There is no camera with this name yet."));
  }

  #forget() {
    this.view?.close();
    this.view = null;
    this.figure.replaceChildren();
  }

  close() {
    this.#forget();
    this.name = null;
    this.element.hidden = true;
  }

  /** Take the camera's newest state: of the one that is open. Null: it was removed. */
  update(camera) {
    if (!camera) {
      if (!this.view) return;
      this.#missing();
    } else if (!this.view) this.#build(camera, null);
    else this.view.camera = camera;
    this.#dirty = true;
  }

  details(message) {
    if (message.camera !== this.name) return;
    this.#details = message;
    this.#dirty = true;
  }

  /** Write the event log again. */
  writeLog() {
    this.on.log.write(this.list, this.name, this.page.clock.now());
  }

  /** Bring everything up to date. */
  tick(nowMs) {
    if (!this.view) {
      setData(this.state, "icon", "waiting");
      this.state.replaceChildren(icon("waiting"));
      setData(this.bar, "state", "waiting");
      setText(this.stateText, "Unknown");
      setText(this.rest, "");
      this.panels.replaceChildren();
      return;
    }
    const { view } = this;
    view.tick(nowMs);
    const { state } = view;
    if (this.state.dataset.icon !== state) {
      setData(this.state, "icon", state);
      this.state.replaceChildren(icon(state));
    }
    setData(this.bar, "state", state);
    setText(this.stateText, TITLES[state]);
    setText(this.rest, rest(view) + (state === "live" ? ` · ${rate(view.camera.fps)} fps` : ""));
    const ageMs = view.ageMs(nowMs);
    if (ageMs !== null) this.history.add(nowMs, ageMs);
    this.history.draw(nowMs, this.page.colours);
    if (this.#dirty) this.#writePanels();
  }

  #writePanels() {
    this.#dirty = false;
    const made = panels(this.#details, this.view.camera, this.view.frame);
    const text = made.map((panel) => panel.textContent).join("\n");
    if (text === this.#written && this.panels.childElementCount) return; // the user may be selecting text
    this.#written = text;
    this.panels.replaceChildren(...made);
  }
}
