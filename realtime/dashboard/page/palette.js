// SPDX-License-Identifier: MIT
// Colours that tell track ids apart, for the colour-blind too.

// The hues of Okabe and Ito's palette ("Color Universal Design", 2008), blue and green lightened so that they are seen on
// dark pictures. People who come one after the other get neighbouring ids, so of all orders this is the one in which
// neighbours differ most for every kind of colour blindness. A dark outline makes them legible on light pictures.
const BASE = ["#ffb000", "#00a884", "#e8590c", "#56b4e9", "#d6f5ff", "#f0e442", "#ee8fc8", "#4f7dff"];

/** The colours of the ids 0, 1, 2, ...; they repeat after 16, and every second round is paler. */
export function colour(id) {
  const index = Math.abs(Math.trunc(id)) % (2 * BASE.length);
  const base = BASE[index % BASE.length];
  return index < BASE.length ? base : mix(base, 0.35);
}

/** How many colours there are before they repeat. */
export const COLOURS = 2 * BASE.length;

function mix(hex, white) {
  const channels = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const mixed = channels.map((value) => Math.round(value + (255 - value) * white));
  return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}
