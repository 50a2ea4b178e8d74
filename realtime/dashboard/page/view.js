// SPDX-License-Identifier: MIT
// One camera's picture with its age line and its note: in a tile, and in the large view.
//
// What tests and scripts can read, on the element with the class `view`:
//   data-camera       the camera's name
//   data-state        live, idle, waiting, starting, late, reconnecting, frozen, failed, ended, gone or unlinked
//   data-freshness    the age line: fresh, idle, ageing or dead
//   data-seq          `seq` of the frame that is shown; missing before the first
//   data-age-ms       its age as it was last written, in whole milliseconds (at most 10 times a second)
//   data-frame-size   WIDTHxHEIGHT of that frame in pixels of the source
//   data-picture      WIDTHxHEIGHT of the JPEG that is shown, or "none"
// and on its canvas, whose width and height attributes are in device pixels:
//   data-scale        canvas pixels per pixel of the source
//   data-left, data-top   where the frame's upper left corner lies in the canvas: a keypoint (x, y) of the source is at
//                     (data-left + x * data-scale, data-top + y * data-scale)

import { CURRENT, TITLES, condition, freshness, left, sinceText, spoken } from "./condition.js";
import { icon, make, nest, setData, setText } from "./dom.js";
import { drawFrame, fit } from "./draw.js";
import { markRepeated } from "./repeated.js";
import { Trails, faceOf, handsOf, hipsOf } from "./trails.js";
import { age, duration, spokenAge } from "./words.js";

const CALM_MS = 500;

/** A camera's picture: give it frames with `show`, and call `tick` several times a second. */
export class View {
  frame = null;
  state = "waiting";
  watched = false;
  lasted = ""; // for how long the camera has been in this state
  #bitmap = null;
  #idle = false;
  #trails = new Trails();
  #now = { state: "waiting", why: "", sinceMs: null };
  #spoken = "";
  #spokenState = "";
  #writtenAs = "";
  #writtenMs = 0;

  /**
   * @param {HTMLElement} element the tile's button, or the figure of the large view.
   * @param page {clock, options, colours, lostMs, linked, unlinkedMs}: what all views share.
   */
  constructor(element, camera, page) {
    this.element = element;
    this.camera = camera;
    this.page = page;
    this.canvas = make("canvas", "canvas");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.noteIcon = make("span", "note-icon");
    this.noteTitle = make("span", "note-title");
    this.noteWhy = make("span", "note-why");
    this.noteSince = make("span", "note-since");
    const words = nest("span", "note-words", this.noteTitle, this.noteWhy, this.noteSince);
    this.note = nest("span", "note", nest("span", "plate", this.noteIcon, words));
    this.fill = make("span", "fill");
    this.line = nest("span", "line", this.fill);
    this.ageText = make("span", "age");
    this.picture = nest("span", "picture", this.canvas, make("span", "hatch"), this.note);
    element.classList.add("view");
    setData(element, "camera", camera.name);
  }

  /** How wide the picture is here, in device pixels. */
  wantedWidth() {
    const density = devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    const [width, height] = this.frame?.size ?? this.camera.size ?? [16, 9];
    return Math.max(16, Math.round(Math.min(clientWidth, (clientHeight * width) / height) * density));
  }

  /** Whether a frame is newer than the one that is shown. Those of another session always are. */
  wants(frame) {
    return !this.frame || frame.session !== this.frame.session || frame.seq > this.frame.seq;
  }

  /** Show a frame. The view owns the bitmap from here on. */
  show(frame, bitmap) {
    if (this.#bitmap !== bitmap) this.#bitmap?.close();
    this.#bitmap = bitmap;
    markRepeated(frame, this.frame);
    this.frame = frame;
    this.#idle = Boolean(frame.idle);
    this.#trails.add(frame, hipsOf(this.camera.keypoint_names ?? []), this.page.options.threshold);
    setData(this.element, "seq", frame.seq);
    setData(this.element, "frameSize", frame.size.join("x"));
    setData(this.element, "picture", bitmap ? `${bitmap.width}x${bitmap.height}` : "none");
    this.draw();
    this.tick(this.page.clock.now());
  }

  /** Draw the frame that is shown again: after an option or the size changed. */
  draw() {
    const density = devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.canvas.clientWidth * density));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * density));
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const { options, colours } = this.page;
    if (!this.frame) {
      this.context.fillStyle = colours.frame;
      this.context.fillRect(0, 0, width, height);
      return;
    }
    const at = fit(this.canvas, this.frame.size);
    setData(this.canvas, "scale", at.scale.toFixed(5));
    setData(this.canvas, "left", at.left.toFixed(2));
    setData(this.canvas, "top", at.top.toFixed(2));
    drawFrame(this.context, this.frame, options.skeletonOnly ? null : this.#bitmap, {
      at,
      density,
      edges: this.camera.edges ?? [],
      face: faceOf(this.camera.keypoint_names ?? []),
      hands: handsOf(this.camera.keypoint_names ?? []),
      threshold: options.threshold,
      labels: options.labels,
      trails: options.trails ? this.#trails : null,
      ground: colours.well,
      frameGround: colours.frame,
    });
  }

  /** Milliseconds since the frame that is shown was captured; null before the first. */
  ageMs(nowMs) {
    return this.frame ? Math.max(0, nowMs - this.frame.captured_ms) : null;
  }

  /** Bring the age, its line, the note and the state up to date. */
  tick(nowMs) {
    const ageMs = this.ageMs(nowMs);
    const { page } = this;
    const shown = ageMs === null ? null : { ageMs, idle: this.#idle };
    const now = condition(this.camera, { ...page.link(), watched: this.watched, shown });
    const part = ageMs === null ? 0 : left(ageMs, this.#idle, page.lostMs);
    setData(this.element, "freshness", ageMs === null ? "none" : freshness(part, now.state));
    const clip = `inset(0 ${((1 - part) * 100).toFixed(1)}% 0 0)`;
    if (this.fill.style.clipPath !== clip) this.fill.style.clipPath = clip;
    if (ageMs !== null) setData(this.element, "ageMs", Math.round(ageMs));
    this.#writeAge(ageMs, nowMs);
    const since = sinceText(now.sinceMs, nowMs);
    this.lasted = now.sinceMs === null ? "" : duration(nowMs - now.sinceMs);
    this.#writeNote(now, since);
    this.state = now.state;
    setData(this.element, "state", now.state);
    this.#now = now;
    this.#describeIfChanged(nowMs);
  }

  /** Digits of a fresh picture change twice a second, so that a wall of them is calm. */
  #writeAge(ageMs, nowMs) {
    const key = this.element.dataset.freshness;
    if (key === "fresh" && key === this.#writtenAs && Math.abs(nowMs - this.#writtenMs) < CALM_MS) return;
    [this.#writtenAs, this.#writtenMs] = [key, nowMs];
    setText(this.ageText, ageMs === null ? "–" : age(ageMs));
  }

  #writeNote(now, since) {
    setText(this.noteTitle, TITLES[now.state]);
    setText(this.noteWhy, now.state === "idle" ? "a still every 5 s" : now.why);
    setText(this.noteSince, CURRENT.has(now.state) || now.state === "waiting" ? "" : since);
    if (now.state !== this.noteIcon.dataset.icon) {
      this.noteIcon.dataset.icon = now.state;
      this.noteIcon.replaceChildren(icon(now.state));
    }
  }

  /** Write the name for screen readers as it is now: when the view gets the focus. */
  describe(nowMs) {
    const ageMs = this.ageMs(nowMs);
    const since = sinceText(this.#now.sinceMs, nowMs);
    const words = spoken(this.camera, this.#now, since, ageMs === null ? "" : spokenAge(ageMs));
    this.element.setAttribute("aria-label", words);
  }

  /** Keep that name true. While the view has the focus, only a new state, or a first rate, is worth an interruption. */
  #describeIfChanged(nowMs) {
    const state = `${this.#now.state} ${this.#now.why} ${this.camera.fps > 0}`;
    const words = spoken(this.camera, this.#now, "", "");
    if (words === this.#spoken || (state === this.#spokenState && document.activeElement === this.element)) return;
    this.#spoken = words;
    this.#spokenState = state;
    this.describe(nowMs);
  }

  /** A copy of the picture that is shown; null if there is none. */
  async copy() {
    return this.#bitmap ? createImageBitmap(this.#bitmap) : null;
  }

  /** Give the picture's memory back. */
  close() {
    this.#bitmap?.close();
    this.#bitmap = null;
  }
}
