// SPDX-License-Identifier: MIT
// The panels of the large view: where the time goes, what was dropped, how often the camera was lost.

import { make, nest } from "./dom.js";
import { count, duration, millis, rate } from "./words.js";

/**
 * Write the panels of a camera.
 *
 * @param details the newest `details` message of this camera, or null before the first.
 * @param camera its newest state.
 * @param frame the header of the frame that is shown, or null.
 * @returns {HTMLElement[]}
 */
export function panels(details, camera, frame) {
  const status = details?.status ?? {};
  const info = details?.info ?? {};
  return [
    latency(status.latency_ms ?? camera.latency_ms ?? {}),
    stages(status.stages ?? {}, frame?.timing_ms ?? {}),
    lowered(status.lowered ?? camera.lowered ?? []),
    counts("Dropped frames", status.drops ?? {}, "No frame was dropped.", dropNote(status)),
    counts("Reconnects", status.reconnects ?? {}, camera.state === "live" ? "The camera was never lost." : "None so far.", ""),
    facts("Camera and models", cameraFacts(details, camera, info, status)),
    facts("Pipeline", pipelineFacts(details, camera, info, status)),
  ];
}

// The stages of the pipeline in their order; messages may name them in any.
const ORDER = ["detect", "track", "pose", "relink", "smooth", "publish"];

function panel(title, ...children) {
  return nest("section", "panel", make("h3", "panel-title", title), ...children);
}

function latency(ms) {
  const cells = ["p50", "p95", "p99"].map((key) =>
    nest("div", "figure", make("span", "figure-value", ms[key] > 0 ? millis(ms[key]) : "–"), make("span", "figure-name", `${key} ms`)),
  );
  return panel("Latency (capture to publishing)", nest("div", "figures", ...cells));
}

function stages(byStage, timing) {
  const place = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length); // unknown ones come last
  const rows = Object.entries(byStage)
    .map(([name, t]) => ({ name, p50: t.p50, p95: t.p95, wait: t.wait_p95 }))
    .sort((a, b) => place(a.name) - place(b.name));
  if (rows.length === 0) {
    for (const [name, ms] of Object.entries(timing)) {
      rows.push(name === "wait" ? { name, p50: 0, p95: 0, wait: ms } : { name, p50: ms, p95: ms, wait: 0 });
    }
  }
  if (rows.length === 0) return panel("Stages", make("p", "quiet", "Not reported by this pipeline."));
  const longest = Math.max(1, ...rows.map((row) => (row.p95 || 0) + (row.wait || 0)));
  const lines = rows.map((row) => stageRow(row, longest));
  const legend = nest(
    "p",
    "legend",
    make("span", "key bar-p50"), "p50 ",
    make("span", "key bar-p95"), "p95 ",
    make("span", "key bar-wait"), "wait before the stage, p95",
  );
  return panel("Stages (all cameras)", ...lines, legend);
}

function stageRow({ name, p50, p95, wait }, longest) {
  const part = (className, ms) => {
    const bar = make("span", className);
    bar.style.width = `${Math.min(100, (100 * Math.max(0, ms || 0)) / longest)}%`;
    return bar;
  };
  const bars = nest("span", "bars", part("bar-wait", wait), part("bar-p50", p50), part("bar-p95", (p95 || 0) - (p50 || 0)));
  const text = p95 > 0 || p50 > 0 ? `${millis(p50)} / ${millis(p95)}` : millis(wait);
  const row = nest("div", "stage", make("span", "stage-name", name), bars, make("span", "stage-value", `${text} ms`));
  row.title = `${name}: p50 ${millis(p50)} ms, p95 ${millis(p95)} ms, wait before it (p95) ${millis(wait)} ms`;
  return row;
}

function lowered(keys) {
  const title = "Reduced to keep the latency low";
  if (keys.length === 0) return panel(title, make("p", "quiet", "Nothing is reduced."));
  return panel(title, nest("p", "chips", ...keys.map((key) => make("code", "chip", key))));
}

function dropNote(status) {
  if (!(status.captured > 0)) return "";
  // Frames that an empty camera left out are no loss.
  const idle = status.drops?.idle ?? 0;
  const wanted = status.captured - idle;
  const part = wanted > 0 ? (100 * (status.dropped - idle)) / wanted : 0;
  const lost = `${part.toFixed(part < 10 ? 1 : 0)} % of ${wanted.toLocaleString("en")} frames`;
  return idle > 0 ? `${lost}; idle: left out on purpose while the camera was empty` : lost;
}

function counts(title, byName, none, note) {
  const rows = Object.entries(byName).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  if (rows.length === 0) return panel(title, make("p", "quiet", none));
  const cells = rows.flatMap(([name, n]) => [make("dt", "", name), make("dd", "number", n.toLocaleString("en"))]);
  const list = nest("dl", "facts", ...cells);
  return note ? panel(title, list, make("p", "quiet", note)) : panel(title, list);
}

function facts(title, pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return panel(title, nest("dl", "facts", ...known.flatMap(([k, v]) => [make("dt", "", k), make("dd", "", String(v))])));
}

function cameraFacts(details, camera, info, status) {
  const fps = info.source_fps ?? camera.source_fps;
  const size = info.size ?? camera.size;
  return [
    ["Size", size ? `${size[0]} × ${size[1]}` : "not known yet"],
    ["Source", fps ? `${rate(fps)} fps` : null],
    ["Published", `${rate(status.fps ?? camera.fps)} fps`],
    ["Activity", status.activity ?? camera.activity],
    ["Detector", info.detector],
    ["Pose", info.pose],
    ["Skeleton", `${camera.skeleton}, ${count(camera.keypoint_names?.length ?? 0, "keypoint", "keypoints")}`],
    ["Smoothing", info.smoothing],
    ["Device", info.device],
    ["Clock", details?.clock],
  ];
}

function pipelineFacts(details, camera, info, status) {
  const difference = details?.clock_difference_ms;
  const recording = status.recording;
  return [
    ["Endpoint", camera.pipeline],
    ["Version", info.version],
    ["Running for", status.uptime_s >= 0 ? duration(1000 * status.uptime_s) : null],
    ["Frames", status.published >= 0 ? `${status.published.toLocaleString("en")} published` : null],
    ["CPU time", status.process ? duration(1000 * status.process.cpu_s) : null],
    ["Memory", status.process ? `${Math.round(status.process.rss_mb).toLocaleString("en")} MiB` : null],
    ["Clock differs by", Number.isFinite(difference) && difference !== 0 ? `${millis(Math.abs(difference))} ms` : null],
    ["Recording", recording ? `${recording.written.toLocaleString("en")} lines, ${recording.lost} lost` : null],
    ["", recording?.error],
    ["Pictures", camera.pictures ? null : "not available (see publish.pictures)"],
  ];
}
