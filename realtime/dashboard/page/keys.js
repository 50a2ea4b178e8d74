// SPDX-License-Identifier: MIT
// The keyboard. Arrow keys between tiles are the wall's own business.

const LETTERS = { s: "skeletonOnly", l: "labels", e: "log", t: "options", f: "fullscreen", "?": "help" };

/** Turns keys into actions. */
export class Keys {
  /**
   * @param actions functions by name.
   * @param {() => {large: boolean, dialog: boolean}} open what is open.
   */
  constructor(actions, open) {
    this.actions = actions;
    this.open = open;
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
    const { large, dialog } = this.open();
    if (dialog) return; // the browser closes it
    if (event.key === "Escape") return void this.actions.escape();
    const field = event.target.closest("input, select, textarea");
    if (field && (field.type !== "checkbox" || event.key.startsWith("Arrow"))) return;
    if (large && event.key === "ArrowLeft") this.actions.step(-1);
    else if (large && event.key === "ArrowRight") this.actions.step(1);
    else if (event.key in LETTERS) this.actions[LETTERS[event.key]]();
    else if (event.key === "Enter" && event.target === document.body) this.actions.first();
    else if (event.key.startsWith("Arrow") && event.target === document.body) document.querySelector(".tile")?.focus();
    else return;
    event.preventDefault();
  }
}
