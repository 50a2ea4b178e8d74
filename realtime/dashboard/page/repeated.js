// SPDX-License-Identifier: MIT
// Which poses are repeated because the person is still. The stream says only that they were not measured.

/**
 * Set `repeated` of each person of a frame: not measured, and all keypoints are where they were in the frame before.
 * A predicted pose moves with its box; a repeated one stays exactly where it was.
 *
 * @param frame the header of a binary message.
 * @param before that of the frame shown before, or null.
 */
export function markRepeated(frame, before) {
  const same = before && before.session === frame.session && before.epoch === frame.epoch;
  const earlier = new Map(same ? before.people.map((person) => [person.id, person.points]) : []);
  for (const person of frame.people) {
    const points = earlier.get(person.id);
    person.repeated =
      !person.measured &&
      person.points.length > 0 &&
      points?.length === person.points.length &&
      points.every((value, i) => value === person.points[i]);
  }
}
