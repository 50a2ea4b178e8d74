// SPDX-License-Identifier: MIT
// What a tile says about its camera, and how its picture ages.

import { count, duration, rate, timeOfDay } from "./words.js";

// The line is full up to here: one frame at a low rate, and the way to this page.
const FULL_MS = 1000;
// An idle camera sends a still every 5 s, so its line is full up to here.
const FULL_IDLE_MS = 6500;
// The picture of a live camera counts as late if it is older than this.
const LATE_MS = 5000;
const LATE_IDLE_MS = 15000;

/** States in which the picture shows what happens now. In all others it is greyed and hatched. */
export const CURRENT = new Set(["live", "idle"]);
/** States that someone should look at. */
export const TROUBLE = new Set(["late", "reconnecting", "frozen", "failed", "gone", "unlinked"]);

/** Why a camera has ended, in more words than the stream's reason. */
const ENDINGS = new Map([["stopped", "the run was stopped"], ["removed", "removed from the configuration"]]);

export const TITLES = {
  live: "Live",
  idle: "Idle",
  waiting: "Waiting for the first picture",
  starting: "Starting",
  late: "No new picture",
  reconnecting: "Reconnecting",
  frozen: "Frozen",
  failed: "Failed",
  ended: "Ended",
  gone: "Pipeline gone",
  unlinked: "Not connected",
};

/**
 * Tell the state of a tile.
 *
 * @param camera the camera's last state, as in the protocol.
 * @param {{linked: boolean, unlinkedMs: number, watched: boolean, shown: {ageMs: number, idle: boolean} | null}} seen
 *   whether this page is connected, since when not, whether it watches this camera, and what it shows of it.
 * @returns {{state: string, why: string, sinceMs: number | null}}
 */
export function condition(camera, seen) {
  const sinceMs = Number.isFinite(camera.since_ms) ? camera.since_ms : null;
  const why = camera.reason || "";
  if (!seen.linked) return { state: "unlinked", why: "", sinceMs: seen.unlinkedMs };
  if (Number.isFinite(camera.gone_since_ms)) {
    return { state: "gone", why: heardFrom(camera.pipeline), sinceMs: camera.gone_since_ms };
  }
  if (camera.state === "reconnecting" && why === "timed out") {
    return { state: "frozen", why: "timed out: the camera sends no new pictures", sinceMs };
  }
  if (camera.state === "ended") return { state: "ended", why: ENDINGS.get(why) || why, sinceMs };
  if (camera.state !== "live") {
    return { state: camera.state in TITLES ? camera.state : "waiting", why, sinceMs };
  }
  return whileLive(camera, seen, sinceMs);
}

/** Which pipeline is silent. The path of a socket file means nothing to a viewer. */
function heardFrom(endpoint) {
  return endpoint?.startsWith("tcp://") ? `no messages from ${endpoint}` : "";
}

function whileLive(camera, seen, sinceMs) {
  const { shown } = seen;
  const idle = shown ? shown.idle : camera.activity === "empty";
  if (!shown) return { state: idle ? "idle" : "waiting", why: "", sinceMs: null };
  if (seen.watched && shown.ageMs > (idle ? LATE_IDLE_MS : LATE_MS)) {
    return { state: "late", why: "the camera is live, but its pictures don't arrive here", sinceMs: null };
  }
  return { state: idle ? "idle" : "live", why: "", sinceMs };
}

/** Since when, counting up: "since 12:03:20 · 0:42", or "" if it is not known. */
export function sinceText(sinceMs, nowMs) {
  if (sinceMs === null) return "";
  return `since ${timeOfDay(sinceMs, nowMs)} · ${duration(nowMs - sinceMs)}`;
}

/**
 * How much of the age line is left: 1 while the picture is fresh, 0 when the camera counts as lost.
 *
 * It falls with the logarithm of the age: the first seconds of trouble show at once, and the line still moves after ten.
 */
export function left(ageMs, idle, lostMs) {
  const full = idle ? FULL_IDLE_MS : FULL_MS;
  if (!(ageMs > full)) return 1;
  return Math.max(0, 1 - Math.log(ageMs / full) / Math.log(Math.max(lostMs, 2 * full) / full));
}

/** The colour and the pattern of the age line. */
export function freshness(part, state) {
  if (!CURRENT.has(state) && state !== "late") return "dead";
  if (part <= 0) return "dead";
  if (part < 0.85) return "ageing";
  return state === "idle" ? "idle" : "fresh";
}

/** A camera's name, state, people and rate in words, for screen readers. */
export function spoken(camera, now, sinceWords, ageWords) {
  const parts = [camera.name, TITLES[now.state].toLowerCase()];
  if (now.why) parts.push(now.why);
  if (sinceWords && !CURRENT.has(now.state)) parts.push(sinceWords);
  if (now.state === "live" && camera.fps > 0) parts.push(`${rate(camera.fps)} frames per second`);
  if (CURRENT.has(now.state)) parts.push(count(camera.people, "person", "people"));
  if (ageWords) parts.push(`picture ${ageWords} old`);
  return parts.join(", ");
}
