// SPDX-License-Identifier: MIT
// Elements and icons. Text from the stream is foreign: it only ever becomes a text node.

const SVG = "http://www.w3.org/2000/svg";

// Paths on a 24 x 24 grid, drawn as strokes of the text's colour.
const ICONS = {
  live: "M12 12m-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0", // filled by the style sheet
  idle: "M9 6v12M15 6v12",
  waiting: "M6 12h.01M12 12h.01M18 12h.01",
  starting: "M6 12h.01M12 12h.01M18 12h.01",
  late: "M12 7v5l3 2M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18",
  reconnecting: "M20 11a8 8 0 0 0-14.500-4L3 9.500M3 4v5.500h5.500M4 13a8 8 0 0 0 14.500 4l2.500-2.500M21 20v-5.500h-5.500",
  frozen: "M12 2v20M3.300 7l17.400 10M20.700 7L3.300 17M9 3.500l3 3 3-3M9 20.500l3-3 3 3M3.500 11l4-1-1-4M20.500 13l-4 1 1 4M3.500 13l4 1-1 4M20.500 11l-4-1 1-4",
  failed: "M12 3L2 20.500h20zM12 10v4.500M12 17.500h.01",
  ended: "M6 6h12v12H6z",
  gone: "M3 3l18 18M9 3v4M15 3v6M6 9v3a6 6 0 0 0 8.500 5.500M18 12V9h-5M12 18v3",
  unlinked: "M3 3l18 18M8.500 16.400a5 5 0 0 1 7 0M5 12.900a10 10 0 0 1 5.200-2.700M19 12.900a10 10 0 0 0-2.200-1.600M2 8.800a15 15 0 0 1 4.200-2.600M22 8.800a15 15 0 0 0-11.300-3.800M12 20h.01",
  figure: "M12 4.500m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0M5 9.500l7 1 7-1M12 10.500v4.500l-3.500 6M12 15l3.500 6",
  tag: "M3 12V3h9l9 9-9 9zM7.500 7.500h.01",
  list: "M8 6h13M8 12h13M8 18h13M3 6h.01M3 12h.01M3 18h.01",
  sliders: "M4 7h9M19 7h1M4 17h1M11 17h9M16 7m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0M8 17m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
  expand: "M9 3H3v6M15 3h6v6M9 21H3v-6M15 21h6v-6",
  help: "M9 9a3 3 0 1 1 4.500 2.600c-1 .600-1.500 1.200-1.500 2.400M12 17.500h.01M12 2.500a9.500 9.500 0 1 0 0 19a9.500 9.500 0 0 0 0-19",
  close: "M5 5l14 14M19 5L5 19",
  previous: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
};

/** Make an element with a class and a text. */
export function make(tag, className = "", text = null) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== null) element.textContent = text;
  return element;
}

/** Make an element that contains others. */
export function nest(tag, className, ...children) {
  const element = make(tag, className);
  element.append(...children);
  return element;
}

/** Make an icon. It is decoration: the words next to it, or the button's name, say the same. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name] ?? ICONS.waiting);
  svg.append(path);
  return svg;
}

/** Turn a button with a text into one with an icon, whose text is its name and its tooltip. */
export function iconButton(button, name) {
  const text = button.textContent;
  const key = button.getAttribute("aria-keyshortcuts");
  button.title = key ? `${text} (${key})` : text;
  button.replaceChildren(icon(name), make("span", "tool-text", text));
  return button;
}

/** Set a text, only if it changes: a write to the page costs layout, and screen readers notice it. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set an attribute, only if it changes. */
export function setData(element, key, value) {
  const text = String(value);
  if (element.dataset[key] !== text) element.dataset[key] = text;
}
