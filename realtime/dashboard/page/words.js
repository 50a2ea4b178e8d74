// SPDX-License-Identifier: MIT
// Numbers and times as text.

const DAY_MS = 24 * 3600 * 1000;

/** An age: "0.2 s", "12 s", "3:05", "2 h 10 min", "3 d". */
export function age(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 59.5) return `${Math.round(s)} s`;
  return duration(ms);
}

/** How long something has lasted, counting in whole seconds: "0:42", "12:03", "2 h 10 min". */
export function duration(ms) {
  const s = Math.floor(Math.max(0, ms) / 1000);
  if (s < 3600) return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
  const minutes = Math.floor(s / 60);
  if (s < 48 * 3600) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(s / 86400)} d`;
}

/** An age in words, for screen readers. */
export function spokenAge(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 1.5) return "less than 2 seconds";
  if (s < 90) return `${Math.round(s)} seconds`;
  if (s < 5400) return `${Math.round(s / 60)} minutes`;
  return `${Math.round(s / 3600)} hours`;
}

/** A Unix time in this browser's time zone: "12:03:20", with the date if it is not of the last day. */
export function timeOfDay(unixMs, nowMs) {
  const date = new Date(unixMs);
  if (Number.isNaN(date.getTime())) return "?";
  const two = (n) => String(n).padStart(2, "0");
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (Math.abs(nowMs - unixMs) < DAY_MS) return time;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

/** A count with its noun: "1 person", "3 people". */
export function count(n, one, many) {
  return `${n} ${n === 1 ? one : many}`;
}

/** Frames per second: "9.8", "30", or "–" if it is not known. */
export function rate(fps) {
  if (!Number.isFinite(fps)) return "–";
  return fps < 9.95 ? fps.toFixed(1) : String(Math.round(fps));
}

/** Milliseconds: "0.4", "12", "1,250". */
export function millis(ms) {
  if (!Number.isFinite(ms)) return "–";
  return ms < 9.95 ? ms.toFixed(1) : Math.round(ms).toLocaleString("en");
}
