// SPDX-License-Identifier: MIT
// The page: one connection, a wall of tiles, one large view.

import { Addresses } from "./addresses.js";
import { Announcer } from "./announce.js";
import { Clock, localMs } from "./clock.js";
import { TROUBLE } from "./condition.js";
import { iconButton, make, setText } from "./dom.js";
import { Keys } from "./keys.js";
import { Large } from "./large.js";
import { Link } from "./link.js";
import { Log } from "./log.js";
import { Notices } from "./notices.js";
import { OptionsPanel, loadOptions, save } from "./options.js";
import { Painter } from "./painter.js";
import { Wall } from "./wall.js";

const TICK_MS = 100;
const CALM_TICK_MS = 500; // for viewers who prefer reduced motion

const $ = (id) => document.getElementById(id);
const base = new URL(document.baseURI);
const addresses = new Addresses(base);
const query = new URLSearchParams(location.search);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

const options = loadOptions();
const clock = new Clock();
const log = new Log();
let hello = null;
let cameras = new Map(); // name -> CAMERA of the protocol
let waiting = []; // names of the pipelines that have sent nothing yet
let pushed = false; // whether the large view has an entry of its own in the history
let detailsOf = null; // the camera whose details this connection gets
let cameFrom = null; // the tile that was opened last

const page = {
  clock,
  options,
  colours: {},
  lostMs: 30000,
  link: () => ({ linked: link.state === "open", unlinkedMs: clock.now() - (localMs() - link.sinceMs) }),
};

if (query.has("kiosk")) document.documentElement.classList.add("kiosk");
readColours();

const wall = new Wall($("wall"), page, { visible: () => painter.watchSoon(), open: openCamera });
const large = new Large($("large"), page, { close: closeCamera, step: stepCamera, log });
const notices = new Notices({ banner: $("banner"), section: $("message"), title: $("message-title"),
  text: $("message-text"), code: $("message-code"), action: $("message-action") });
const announcer = new Announcer($("announce"));
const panel = new OptionsPanel($("options"), options, optionChanged);
const link = new Link(base, clock, { message: receive, frame: (frame) => painter.take(frame), change: linkChanged });
const painter = new Painter({
  send: (message) => link.send(message),
  views: () => (large.name !== null ? [large.view].filter(Boolean) : wall.visible()),
  clock,
  options,
});

// ---- messages

function receive(message) {
  if (message.type === "hello") greet(message);
  else if (message.type === "cameras") setCameras(message.cameras, message.waiting ?? []);
  else if (message.type === "camera") changeCamera(message);
  else if (message.type === "details") large.details(message);
  else if (message.type === "events") (log.reset(message.events), writeLogs());
  else if (message.type === "event") (log.add(message), writeLogs());
  else if (message.type === "error") notices.error(String(message.text));
}

function greet(message) {
  hello = message;
  if (message.lost_s > 0) page.lostMs = 1000 * message.lost_s;
  const parts = [make("span", "", `realtime-pose ${message.version}`), make("span", "", message.licence)];
  if (/^https?:\/\//i.test(message.source_url ?? "")) {
    const source = make("a", "", "Source code");
    source.href = message.source_url;
    source.rel = "noreferrer";
    parts.push(source);
  }
  $("foot").replaceChildren(...parts);
  painter.forget();
  detailsOf = null;
}

function setCameras(list, silent) {
  waiting = silent;
  cameras = new Map(list.map((camera) => [camera.name, camera]));
  wall.setCameras(list);
  if (large.name !== null) large.update(cameras.get(large.name) ?? null);
  askDetails();
  painter.watchSoon();
  tick();
}

/** Ask for the details of the camera that is open; not of one that is in the address, but unknown. */
function askDetails() {
  const name = cameras.has(large.name) ? large.name : null;
  if (name === detailsOf) return;
  detailsOf = name;
  link.send({ type: "details", camera: name });
}

function changeCamera(camera) {
  if (!cameras.has(camera.name)) return;
  cameras.set(camera.name, camera);
  wall.tiles.get(camera.name)?.update(camera);
  if (large.name === camera.name) large.update(camera);
  tick();
}

function linkChanged() {
  painter.forget();
  tick();
}

// ---- time passes

function tick() {
  const nowMs = clock.now();
  const watched = new Set(painter.watched());
  if (large.view) large.view.watched = watched.has(large.view);
  for (const tile of wall.tiles.values()) {
    tile.view.watched = watched.has(tile.view);
    tile.tick(nowMs);
  }
  announcer.update([...wall.tiles].map(([name, tile]) => [name, tile.view.state]));
  if (large.name !== null) large.tick(nowMs);
  notices.update({ link, hello, cameras: cameras.size, waiting, nowMs, localMs: localMs() });
  writeTally();
}

function beat() {
  if (!document.hidden) tick();
  setTimeout(beat, calm.matches ? CALM_TICK_MS : TICK_MS);
}

function writeTally() {
  const views = [...wall.tiles.values()].map((tile) => tile.view);
  const inState = (test) => views.filter((view) => test(view.state)).length;
  const people = views.filter((view) => view.camera.state === "live" && !TROUBLE.has(view.state)).reduce((sum, view) => sum + view.camera.people, 0);
  const parts = [
    ["live", inState((state) => state === "live" || state === "waiting"), "live"],
    ["idle", inState((state) => state === "idle"), "idle"],
    ["trouble", inState((state) => TROUBLE.has(state)), "in trouble"],
    ["people", people, people === 1 ? "person" : "people"],
  ].filter(([kind, n]) => n > 0 || kind === "live");
  const text = views.length ? parts.map(([, n, word]) => `${n} ${word}`).join(" · ") : "";
  if ($("tally").title === text) return;
  $("tally").title = text;
  $("tally").replaceChildren(...(views.length ? parts.map(([kind, n, word]) => {
    const part = make("span", `tally-part tally-${kind}`);
    part.append(make("b", "", String(n)), ` ${word}`);
    return part;
  }) : []));
  const trouble = inState((state) => TROUBLE.has(state));
  const title = large.name ?? "Cameras";
  document.title = trouble ? `(${trouble} in trouble) ${title}` : title;
}

function writeLogs() {
  if (!$("log").hidden) log.write($("log-list"), null, clock.now());
  if (large.name !== null) large.writeLog();
}

// ---- the large view and the address

function openCamera(name, write = true) {
  if (write) {
    if (large.name === null) history.pushState(null, "", addresses.of(name));
    else history.replaceState(null, "", addresses.of(name));
    pushed ||= large.name === null;
  }
  cameFrom = name;
  document.documentElement.classList.add("is-large");
  large.open(name, cameras.get(name) ?? null, wall.tiles.get(name)?.view);
  large.writeLog();
  askDetails();
  painter.watchSoon();
  if (write) large.back.focus();
  tick();
}

function closeCamera() {
  if (large.name === null) return;
  if (pushed) history.back(); // popstate closes it
  else {
    history.replaceState(null, "", addresses.of(null));
    followAddress();
  }
}

function stepCamera(step) {
  const names = [...cameras.keys()];
  if (names.length < 2 && names[0] === large.name) return;
  const index = names.indexOf(large.name);
  openCamera(names[(index + step + names.length) % names.length]);
}

function followAddress() {
  const name = addresses.name();
  if (name !== null) {
    openCamera(name, false);
    return;
  }
  pushed = false;
  if (large.name === null) return;
  large.close();
  document.documentElement.classList.remove("is-large");
  askDetails();
  wall.arrange();
  wall.focus(cameFrom);
  painter.watchSoon();
  tick();
}

// ---- options, keys, colours

function optionChanged(name) {
  save(options);
  if (name === "theme") readColours();
  showOptions();
  painter.watchSoon();
  redraw();
}

function redraw() {
  for (const tile of wall.tiles.values()) tile.view.draw();
  large.view?.draw();
}

function toggle(name) {
  options[name] = !options[name];
  panel.show();
  optionChanged(name);
}

function showOptions() {
  for (const button of document.querySelectorAll("[data-do]")) {
    const name = button.dataset.do;
    if (typeof options[name] === "boolean") button.setAttribute("aria-pressed", String(options[name]));
    if (name === "options") button.setAttribute("aria-expanded", String(!$("options").hidden));
  }
  $("log").hidden = !options.log;
  writeLogs();
}

function readColours() {
  document.documentElement.dataset.theme = options.theme;
  const style = getComputedStyle(document.documentElement);
  for (const name of ["well", "frame", "ink", "quiet", "edge", "fresh"]) {
    page.colours[name] = style.getPropertyValue(`--${name}`).trim();
  }
}

const actions = {
  skeletonOnly: () => toggle("skeletonOnly"),
  labels: () => toggle("labels"),
  log: () => toggle("log"),
  options: () => (panel.toggle(), showOptions()),
  help: () => $("help").showModal(),
  fullscreen: () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen?.().catch(() => {});
  },
  /** Open the first camera, unless a message covers it. */
  first: () => large.name === null && $("message").hidden && wall.element.firstElementChild?.click(),
  step: (by) => large.name !== null && stepCamera(by),
  /** Close what is on top. */
  escape: () => {
    if (!$("options").hidden) actions.options();
    else closeCamera();
  },
};

for (const button of document.querySelectorAll("[data-do]")) {
  iconButton(button, button.dataset.icon).addEventListener("click", () => actions[button.dataset.do]());
  if (button.dataset.do === "fullscreen") button.hidden = !document.fullscreenEnabled;
}
$("log").append(make("h2", "panel-title", "Events"), Object.assign(make("ol", "events"), { id: "log-list" }));
$("message-action").addEventListener("click", () => location.reload());
document.addEventListener("pointerdown", (event) => {
  if (!$("options").hidden && !event.target.closest("#options, [data-do=options]")) actions.options();
});
new Keys(actions, () => ({ large: large.name !== null, dialog: $("help").open }));
addEventListener("popstate", followAddress);
addEventListener("resize", () => (painter.watchSoon(), redraw()));
document.addEventListener("visibilitychange", () => (painter.watchSoon(), document.hidden || tick()));
dark.addEventListener("change", () => (readColours(), redraw()));

showOptions();
followAddress();
beat();
if (query.has("clock")) import("./bars.js").then((bars) => bars.start());
