// SPDX-License-Identifier: MIT
// A strip that shows how old the picture was over the last minute.

import { age } from "./words.js";

const SPAN_MS = 60000;
const LEAST_TOP_MS = 1000;

/** Records ages, and draws them. */
export class History {
  #points = []; // {ms, ageMs}

  constructor(canvas) {
    this.canvas = canvas;
  }

  clear() {
    this.#points = [];
  }

  add(ms, ageMs) {
    this.#points.push({ ms, ageMs });
    while (ms - this.#points[0].ms > SPAN_MS) this.#points.shift();
  }

  /** @param colours {ink, quiet, edge, fresh}. */
  draw(nowMs, colours) {
    const density = devicePixelRatio || 1;
    const { canvas } = this;
    const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
    if (wide === 0) return;
    if (canvas.width !== Math.round(wide * density)) canvas.width = Math.round(wide * density);
    if (canvas.height !== Math.round(high * density)) canvas.height = Math.round(high * density);
    const context = canvas.getContext("2d");
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, wide, high);
    const top = Math.max(LEAST_TOP_MS, ...this.#points.map((point) => point.ageMs)) * 1.15;
    const x = (ms) => wide - ((nowMs - ms) / SPAN_MS) * wide;
    const y = (ageMs) => high - 1 - (ageMs / top) * (high - 4);
    this.#grid(context, wide, y, top, colours);
    if (this.#points.length < 2) return;
    context.beginPath();
    for (const point of this.#points) context.lineTo(x(point.ms), y(point.ageMs));
    context.strokeStyle = colours.fresh;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(x(this.#points[this.#points.length - 1].ms), high);
    context.lineTo(x(this.#points[0].ms), high);
    context.globalAlpha = 0.16;
    context.fillStyle = colours.fresh;
    context.fill();
    context.globalAlpha = 1;
  }

  #grid(context, wide, y, top, colours) {
    const steps = [500, 1000, 2000, 5000, 10000, 30000, 60000, 300000, 3600000];
    const step = steps.find((each) => top / each < 2.5) ?? top;
    context.strokeStyle = colours.edge;
    context.fillStyle = colours.quiet;
    context.font = "12px system-ui, sans-serif";
    context.lineWidth = 1;
    for (let at = step; at < top; at += step) {
      context.beginPath();
      context.moveTo(0, Math.round(y(at)) + 0.5);
      context.lineTo(wide, Math.round(y(at)) + 0.5);
      context.stroke();
      context.fillText(age(at), 4, y(at) + 14);
    }
  }
}
