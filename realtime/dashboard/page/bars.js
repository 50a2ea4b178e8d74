// SPDX-License-Identifier: MIT
// `?clock`: this machine's clock as a bar code, drawn with every animation frame, to measure from glass to glass.
// realtime/capture/clock_bars.py describes the pattern, and reads it from a screenshot.

import { make } from "./dom.js";

const CELL = 12; // CSS pixels
const HEIGHT = 24;

/** The 64 cells of a time (Unix ms, an integer) from left to right: 1 is white. */
export function cellsOf(timeMs) {
  const code = timeMs * 64 + (timeMs % 61);
  const cells = [0, 1, 0];
  for (let bit = 47; bit >= 0; bit -= 1) {
    cells.push(Math.floor(code / 2 ** bit) % 2);
    if (bit % 4 === 0) cells.push(1 - cells.at(-1));
  }
  cells.push(1 - cells.at(-1));
  return cells;
}

/** Put the bar code, an element with the id `clock`, above the cameras, and keep drawing it. */
export function start() {
  const canvas = make("canvas", "clock-bars");
  canvas.id = "clock";
  canvas.setAttribute("aria-hidden", "true");
  canvas.width = 64 * CELL;
  canvas.height = HEIGHT;
  document.body.prepend(canvas);
  const context = canvas.getContext("2d", { alpha: false });
  const draw = () => {
    cellsOf(Date.now()).forEach((white, at) => {
      context.fillStyle = white ? "#fff" : "#000";
      context.fillRect(at * CELL, 0, CELL, HEIGHT);
    });
    requestAnimationFrame(draw);
  };
  draw();
}
