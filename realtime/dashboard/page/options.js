// SPDX-License-Identifier: MIT
// What a viewer has chosen, kept in this browser.

const KEY = "realtime-pose.options";
const DEFAULTS = { skeletonOnly: false, labels: true, trails: true, threshold: 0.3, theme: "auto", log: false };
const THEMES = ["auto", "dark", "light"];

/** The options, as an object that can be written to; `save` keeps them. */
export function loadOptions() {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    // No storage, or unreadable text in it: use the defaults.
  }
  const options = { ...DEFAULTS };
  for (const [key, value] of Object.entries(DEFAULTS)) {
    if (typeof kept[key] === typeof value) options[key] = kept[key];
  }
  options.threshold = Math.min(Math.max(options.threshold, 0), 0.95);
  if (!THEMES.includes(options.theme)) options.theme = "auto";
  return options;
}

/** Keep the options for the next visit, if the browser allows it. */
export function save(options) {
  try {
    localStorage.setItem(KEY, JSON.stringify(options));
  } catch {
    // No storage (a private window): the options last until it is closed.
  }
}

/** The panel with the options. Calls `changed` after each change. */
export class OptionsPanel {
  constructor(form, options, changed) {
    this.form = form;
    this.options = options;
    this.changed = changed;
    form.addEventListener("input", (event) => this.#read(event.target));
    form.addEventListener("submit", (event) => event.preventDefault());
    this.show();
  }

  /** Write the options into the panel's fields. */
  show() {
    const { elements } = this.form;
    for (const key of ["skeletonOnly", "labels", "trails"]) elements[key].checked = this.options[key];
    elements.threshold.value = this.options.threshold;
    elements.theme.value = this.options.theme;
    this.form.querySelector("#threshold-text").textContent = this.options.threshold.toFixed(2);
  }

  #read(field) {
    if (field.type === "checkbox") this.options[field.name] = field.checked;
    else if (field.name === "threshold") this.options.threshold = Number(field.value);
    else this.options[field.name] = field.value;
    this.show();
    this.changed(field.name);
  }

  /** Open or close the panel. */
  toggle(open = this.form.hidden) {
    this.form.hidden = !open;
    if (open) this.form.elements.threshold.focus();
    else if (this.form.contains(document.activeElement)) document.activeElement.blur(); // else it takes the next key
  }
}
