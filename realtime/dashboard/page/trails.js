// SPDX-License-Identifier: MIT
// Where people of one camera were during the last second.

const TRAIL_MS = 1000;
const GAP_MS = 700; // a longer hole between two points is not bridged

/** The places of each id over the last second, from frames of one session and epoch. */
export class Trails {
  #places = new Map(); // id -> [{ms, x, y}]
  #run = "";

  /** Add the people of a frame, and forget what is older than a second. */
  add(frame, hips, minScore) {
    const run = `${frame.session} ${frame.epoch}`;
    if (run !== this.#run) this.#places.clear();
    this.#run = run;
    const nowMs = frame.captured_ms;
    for (const person of frame.people) {
      const places = this.#places.get(person.id) ?? [];
      if (places.length && nowMs - places[places.length - 1].ms > GAP_MS) places.length = 0;
      places.push({ ms: nowMs, ...place(person, hips, minScore) });
      this.#places.set(person.id, places);
    }
    for (const [id, places] of this.#places) {
      while (places.length && nowMs - places[0].ms > TRAIL_MS) places.shift();
      if (places.length === 0) this.#places.delete(id);
    }
  }

  /** The places of an id, oldest first, each with `part`: 1 for now, 0 for a second ago. */
  of(id, nowMs) {
    return (this.#places.get(id) ?? []).map((at) => ({ x: at.x, y: at.y, part: 1 - (nowMs - at.ms) / TRAIL_MS }));
  }
}

/** The point on the ground: on the lower edge of the box, below the hips if they are visible, else in the middle. */
function place(person, hips, minScore) {
  const [x1, , x2, y2] = person.box;
  const seen = hips.filter((i) => person.points[3 * i + 2] >= minScore);
  if (seen.length === 0) return { x: (x1 + x2) / 2, y: y2 };
  return { x: seen.reduce((sum, i) => sum + person.points[3 * i], 0) / seen.length, y: y2 };
}

/** The indices of the hips in a skeleton; none if it has no such names. */
export function hipsOf(names) {
  return ["left_hip", "right_hip"].map((name) => names.indexOf(name)).filter((i) => i >= 0);
}

/** The indices of the keypoints of the face, which lie close together. */
export function faceOf(names) {
  return new Set(names.flatMap((name, i) => (/nose|eye|ear|face|mouth/.test(name) ? [i] : [])));
}

/** The indices of the keypoints of hands, which are drawn thinner. publish/palette.py knows them by the same names. */
export function handsOf(names) {
  return new Set(names.flatMap((name, i) => (/hand|thumb|finger/.test(name) ? [i] : [])));
}
