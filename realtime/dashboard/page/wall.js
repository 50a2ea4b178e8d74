// SPDX-License-Identifier: MIT
// The wall of tiles: their order and size, and which of them are visible.

import { Tile } from "./tile.js";

const SMALLEST = 250; // CSS pixels; if the tiles of one screen would be narrower, the wall scrolls
const PHONE = 620; // up to this width the wall is one column
const RATIO = 16 / 9;

/**
 * How to lay out tiles: as large as they can be without scrolling, or, if they would be too small, in a wall that scrolls.
 *
 * @returns {{columns: number, width: number, scrolls: boolean}}
 */
export function layout(tiles, width, height, gap, caption) {
  if (width <= PHONE) return { columns: 1, width, scrolls: true };
  let best = { columns: 1, width: 0, scrolls: false };
  for (let columns = 1; columns <= tiles; columns += 1) {
    const rows = Math.ceil(tiles / columns);
    const wide = (width - (columns - 1) * gap) / columns;
    const high = (height - (rows - 1) * gap) / rows - caption;
    const fits = Math.floor(Math.min(wide, high * RATIO));
    if (fits > best.width) best = { columns, width: fits, scrolls: false };
  }
  if (best.width >= SMALLEST || tiles === 0) return best;
  const columns = Math.max(1, Math.floor((width + gap) / (SMALLEST * 1.12 + gap)));
  return { columns, width: Math.floor((width - (columns - 1) * gap) / columns), scrolls: true };
}

/** All tiles. Calls `visible` when another set of them can be seen, `open` with a name when one is chosen. */
export class Wall {
  tiles = new Map(); // name -> Tile
  #seen = new Set();
  #columns = 1;

  constructor(element, page, { visible, open }) {
    this.element = element;
    this.page = page;
    this.visibleChanged = visible;
    this.observer = new IntersectionObserver((entries) => this.#intersect(entries), { rootMargin: "32px" });
    element.classList.add("empty");
    new ResizeObserver(() => this.arrange()).observe(element);
    element.addEventListener("click", (event) => {
      const tile = event.target.closest(".tile");
      if (tile) open(tile.dataset.camera);
    });
    element.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Show these cameras, in this order. Tiles that stay keep their picture. */
  setCameras(cameras) {
    const names = new Set(cameras.map((camera) => camera.name));
    for (const [name, tile] of this.tiles) if (!names.has(name)) this.#remove(name, tile);
    cameras.forEach((camera, index) => {
      let tile = this.tiles.get(camera.name);
      if (tile) tile.update(camera);
      else {
        tile = new Tile(camera, this.page);
        this.tiles.set(camera.name, tile);
        this.observer.observe(tile.element);
      }
      const there = this.element.children[index];
      if (there !== tile.element) this.element.insertBefore(tile.element, there ?? null);
    });
    this.element.classList.toggle("empty", cameras.length === 0); // first: what is hidden has no room to arrange
    this.arrange();
  }

  #remove(name, tile) {
    this.observer.unobserve(tile.element);
    tile.element.remove();
    tile.view.close();
    this.tiles.delete(name);
    this.#seen.delete(name);
  }

  /** Choose the tiles' size for the room there is. */
  arrange() {
    const style = getComputedStyle(this.element);
    const inner = (side) => parseFloat(style[`padding${side}`]);
    const width = this.element.clientWidth - inner("Left") - inner("Right");
    const height = this.element.clientHeight - inner("Top") - inner("Bottom");
    if (width <= 0) return; // the large view is open, or there are no tiles
    const caption = parseFloat(style.getPropertyValue("--caption"));
    const plan = layout(this.tiles.size, width, height, parseFloat(style.columnGap) || 0, caption);
    this.#columns = plan.columns;
    this.element.style.setProperty("--columns", plan.columns);
    this.element.style.setProperty("--tile", `${plan.width}px`);
    this.element.classList.toggle("scrolls", plan.scrolls);
    for (const tile of this.tiles.values()) tile.view.draw();
    this.visibleChanged();
  }

  #intersect(entries) {
    for (const entry of entries) {
      const name = entry.target.dataset.camera;
      if (entry.isIntersecting) this.#seen.add(name);
      else this.#seen.delete(name);
    }
    this.visibleChanged();
  }

  /** The views of the tiles that can be seen. */
  visible() {
    return [...this.tiles.values()].filter((tile) => this.#seen.has(tile.view.camera.name)).map((tile) => tile.view);
  }

  #key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.#columns, ArrowDown: this.#columns };
    const step = steps[event.key];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const all = [...this.element.children];
    const target = all[all.indexOf(event.target.closest(".tile")) + step];
    if (target) target.focus();
    event.preventDefault();
  }

  /** Give a tile the focus: the named one, or else the first. */
  focus(name) {
    (this.tiles.get(name)?.element ?? this.element.firstElementChild)?.focus();
  }
}
