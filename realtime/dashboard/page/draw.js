// SPDX-License-Identifier: MIT
// Draws the picture and the people of one frame, in one go.

import { colour } from "./palette.js";

const OUTLINE = "rgba(4, 8, 12, 0.78)";
// The limbs of hands are thinner: many are close together.
const HAND_WIDTH = 0.5;
const FONT = "600 1px system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif";

/**
 * Where a frame of a size lies in a canvas: as large as fits, in the middle.
 *
 * @returns {{scale: number, left: number, top: number}} canvas pixels per frame pixel, and the frame's corner.
 */
export function fit(canvas, [width, height]) {
  const scale = Math.min(canvas.width / width, canvas.height / height);
  return { scale, left: (canvas.width - width * scale) / 2, top: (canvas.height - height * scale) / 2 };
}

/**
 * Draw a frame.
 *
 * @param context of the canvas.
 * @param frame the header of a binary message.
 * @param {ImageBitmap | null} bitmap the picture, or null: people on a plain ground.
 * @param look {edges, face, hands, threshold, labels, trails, ground, frameGround, density, at}: the skeleton's limbs,
 *   and the keypoints of the face and the hands; the options; colours of the canvas and of the frame without a picture;
 *   device pixels per CSS pixel; what `fit` returned.
 */
export function drawFrame(context, frame, bitmap, look) {
  const { canvas } = context;
  const { scale, left, top } = look.at;
  const [width, height] = frame.size;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = look.ground;
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (bitmap) {
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, left, top, width * scale, height * scale);
  } else {
    context.fillStyle = look.frameGround;
    context.fillRect(left, top, width * scale, height * scale);
  }
  context.save();
  context.beginPath();
  context.rect(left, top, width * scale, height * scale);
  context.clip(); // keypoints may lie outside the frame
  const place = (x, y) => [left + x * scale, top + y * scale];
  if (look.trails) for (const person of frame.people) drawTrail(context, person, frame, place, look);
  for (const person of frame.people) drawPerson(context, person, place, look);
  const taken = [];
  if (look.labels) for (const person of frame.people) drawLabel(context, person, place, look, taken);
  context.restore();
}

/** Line width in canvas pixels: thicker for large people, within what a small tile and a wall display can show. */
function limbWidth(person, look) {
  const [, y1, , y2] = person.box;
  const tall = Math.abs(y2 - y1) * look.at.scale;
  return Math.min(Math.max(tall / 55, 2 * look.density), 5 * look.density);
}

function drawPerson(context, person, place, look) {
  const limbs = visibleLimbs(person, look);
  const thick = limbWidth(person, look);
  context.lineCap = "round";
  context.lineJoin = "round";
  // A predicted person has dashed limbs. Those of a still one, whose pose is repeated, would flicker.
  context.setLineDash(person.measured || person.repeated ? [] : [2.5 * thick, 2.5 * thick]);
  context.beginPath();
  if (limbs.length === 0) corners(context, person.box, place);
  const isOfHand = ([a, b]) => look.hands.has(a) || look.hands.has(b);
  drawLimbs(context, person, limbs.filter((limb) => !isOfHand(limb)), place);
  stroke(context, colour(person.id), thick, look.density);
  context.beginPath();
  drawLimbs(context, person, limbs.filter(isOfHand), place);
  stroke(context, colour(person.id), thick * HAND_WIDTH, look.density * HAND_WIDTH);
  context.setLineDash([]);
  drawPoints(context, person, place, look, thick);
}

function stroke(context, colour, thick, density) {
  context.strokeStyle = OUTLINE;
  context.lineWidth = thick + Math.max(0.9 * thick, 1.8 * density);
  context.stroke();
  context.strokeStyle = colour;
  context.lineWidth = thick;
  context.stroke();
}

function visibleLimbs(person, look) {
  const seen = (i) => person.points[3 * i + 2] >= look.threshold;
  return look.edges.filter(([a, b]) => seen(a) && seen(b));
}

function drawLimbs(context, { points }, limbs, place) {
  for (const [a, b] of limbs) {
    context.moveTo(...place(points[3 * a], points[3 * a + 1]));
    context.lineTo(...place(points[3 * b], points[3 * b + 1]));
  }
}

function drawPoints(context, person, place, look, thick) {
  const { points } = person;
  if (thick < 2.6 * look.density) return; // too small: the limbs' colour counts more
  context.beginPath();
  for (let i = 0; i + 2 < points.length; i += 3) {
    if (points[i + 2] < look.threshold) continue;
    const [x, y] = place(points[i], points[i + 1]);
    const radius = thick * (look.face.has(i / 3) || look.hands.has(i / 3) ? 0.45 : 0.85);
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 2 * Math.PI);
  }
  context.fillStyle = "#fff";
  context.strokeStyle = OUTLINE;
  context.lineWidth = thick * 0.5;
  context.stroke();
  context.fill();
}

/** The corners of a box, for a person without visible keypoints. */
function corners(context, [x1, y1, x2, y2], place) {
  const [left, top] = place(x1, y1);
  const [right, bottom] = place(x2, y2);
  const arm = Math.min(right - left, bottom - top) / 4;
  for (const [x, y, dx, dy] of [
    [left, top, 1, 1],
    [right, top, -1, 1],
    [right, bottom, -1, -1],
    [left, bottom, 1, -1],
  ]) {
    context.moveTo(x + dx * arm, y);
    context.lineTo(x, y);
    context.lineTo(x, y + dy * arm);
  }
}

function drawTrail(context, person, frame, place, look) {
  const places = look.trails.of(person.id, frame.captured_ms);
  const thick = limbWidth(person, look);
  context.lineJoin = context.lineCap = "round";
  context.beginPath();
  for (const { x, y } of places) context.lineTo(...place(x, y));
  context.strokeStyle = OUTLINE;
  context.lineWidth = thick * 1.5;
  context.globalAlpha = 0.35;
  context.stroke();
  context.strokeStyle = colour(person.id);
  context.lineCap = "butt";
  for (let i = 1; i < places.length; i += 1) {
    context.beginPath();
    context.moveTo(...place(places[i - 1].x, places[i - 1].y));
    context.lineTo(...place(places[i].x, places[i].y));
    context.globalAlpha = Math.max(0, places[i].part);
    context.lineWidth = thick * (0.35 + 0.75 * Math.max(0, places[i].part));
    context.stroke();
  }
  context.globalAlpha = 1;
}

/** A height at which a label hides no other: the desired one, or above those that are there. */
function free(x, desired, wide, high, taken) {
  let y = desired;
  for (let tries = 0; tries < 3; tries += 1) {
    const other = taken.find((each) => Math.abs(each.y - y) < high && x < each.x + each.wide && each.x < x + wide);
    if (!other) break;
    y = other.y - high - 2;
  }
  taken.push({ x, y: y < 0 ? desired : y, wide });
  return y < 0 ? desired : y;
}

function drawLabel(context, person, place, look, taken) {
  const text = person.label ? `${person.id} ${person.label}` : String(person.id);
  const size = Math.min(Math.max(12 * look.density, (person.box[3] - person.box[1]) * look.at.scale * 0.07), 20 * look.density);
  context.font = FONT.replace("1px", `${size.toFixed(1)}px`);
  const wide = context.measureText(text).width + size * 0.7;
  const high = size * 1.35;
  const [x1, y1] = place((person.box[0] + person.box[2]) / 2, person.box[1]);
  const { left, top } = look.at;
  const right = context.canvas.width - left;
  const x = Math.min(Math.max(x1 - wide / 2, left + 2), right - wide - 2);
  const y = free(x, Math.max(y1 - high - size * 0.25, top + 2), wide, high, taken);
  context.beginPath();
  context.roundRect(x, y, wide, high, high * 0.28);
  context.fillStyle = colour(person.id);
  context.strokeStyle = OUTLINE;
  context.lineWidth = size * 0.14;
  context.stroke();
  context.fill();
  context.fillStyle = "#0b0f14";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, x + wide / 2, y + high * 0.54);
}
