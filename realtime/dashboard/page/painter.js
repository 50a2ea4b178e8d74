// SPDX-License-Identifier: MIT
// Between the connection and the views: asks for what is visible, decodes pictures, draws them, acknowledges them.

const MOST_WATCHED = 256; // of the protocol
const SETTLE_MS = 80; // scrolling and resizing change what is visible many times in a row

/** @returns whether a header can be drawn; the dashboard checks what pipelines send, so anything else is a fault. */
function drawable({ size, people, captured_ms }) {
  const numbers = (list, least) => Array.isArray(list) && list.length >= least && list.every(Number.isFinite);
  return numbers(size, 2) && size[0] > 0 && size[1] > 0 && Number.isFinite(captured_ms) && Array.isArray(people) &&
    people.every((one) => Number.isFinite(one?.id) && numbers(one.box, 4) && numbers(one.points, 0));
}

/** Draws frames at the display's pace, at most one per camera and animation frame: always the newest. */
export class Painter {
  #ready = new Map(); // camera -> {header, bitmap}, to be drawn with the next animation frame
  #acks = []; // headers to acknowledge after it
  #timer = 0;
  #asked = "";
  #frameRequested = false;

  /** @param page {send, views, clock, options}: `views` gives those that can be seen. */
  constructor(page) {
    this.page = page;
  }

  /** The views that the dashboard sends frames for. */
  watched() {
    return document.hidden ? [] : this.page.views();
  }

  /** The connection is new: what was asked for is forgotten there. */
  forget() {
    this.#asked = "";
    this.watchSoon();
  }

  /** Tell the dashboard what is visible, once that has settled. */
  watchSoon() {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#watch();
    }, SETTLE_MS);
  }

  #watch() {
    const views = this.watched().slice(0, MOST_WATCHED);
    const message = {
      type: "watch",
      cameras: views.map((view) => ({ name: view.camera.name, width: view.wantedWidth() })),
      pictures: !this.page.options.skeletonOnly,
    };
    const text = JSON.stringify(message);
    if (text === this.#asked) return;
    this.#asked = text;
    this.page.send(message);
  }

  /** Take a frame from the connection. */
  async take({ header, jpeg }) {
    let bitmap = null;
    if (jpeg && this.#viewOf(header.camera)) {
      try {
        bitmap = await createImageBitmap(jpeg);
      } catch {
        bitmap = null; // a broken picture: its people are still true
      }
    }
    this.#acks.push(header);
    const earlier = this.#ready.get(header.camera);
    if (earlier && earlier.header.session === header.session && earlier.header.seq > header.seq) bitmap?.close();
    else {
      earlier?.bitmap?.close();
      this.#ready.set(header.camera, { header, bitmap });
    }
    if (document.hidden) this.#paint(); // there are no animation frames then
    else if (!this.#frameRequested) {
      this.#frameRequested = true;
      requestAnimationFrame(() => this.#paint());
    }
  }

  #show(header, bitmap) {
    const view = this.#viewOf(header.camera);
    if (!view?.wants(header) || !drawable(header)) {
      bitmap?.close();
      return;
    }
    try {
      view.show(header, bitmap);
    } catch (error) {
      console.error(`a frame of ${header.camera} can't be drawn`, error); // the other cameras go on
    }
  }

  #viewOf(name) {
    return this.page.views().find((view) => view.camera.name === name);
  }

  #paint() {
    this.#frameRequested = false;
    for (const { header, bitmap } of this.#ready.values()) this.#show(header, bitmap);
    this.#ready.clear();
    for (const header of this.#acks) {
      const width = this.#viewOf(header.camera)?.wantedWidth();
      this.page.send({ type: "shown", camera: header.camera, seq: header.seq, ...(width && { width }) });
    }
    this.#acks.length = 0;
  }
}
