// SPDX-License-Identifier: MIT
// What the page says about itself: connecting, no camera yet, connection lost, token needed, too many viewers.

import { sinceText } from "./condition.js";
import { setText } from "./dom.js";

const EXAMPLE = "python run_realtime.py --source demo --web 127.0.0.1:8080";
const ERROR_MS = 10000;

/** A message in the middle of the page while there are no tiles, and a banner above the tiles otherwise. */
export class Notices {
  #error = null; // {text, untilMs}

  /** @param elements {banner, section, title, text, code, action}. */
  constructor(elements) {
    this.elements = elements;
  }

  /** Show an error of the protocol for a while. */
  error(text) {
    this.#error = { text, untilMs: Date.now() + ERROR_MS };
  }

  /** @param page {link, hello, cameras, waiting, nowMs, localMs}; waiting: names of silent pipelines. */
  update(page) {
    const says = notice(page);
    const inMiddle = says && (page.cameras === 0 || says.blocks);
    this.#middle(inMiddle ? says : null);
    const error = this.#error && Date.now() < this.#error.untilMs ? `The dashboard reports an error: ${this.#error.text}` : "";
    const banner = says && !inMiddle ? `${says.title}${says.joint ?? ". "}${says.text}` : error;
    this.elements.banner.hidden = banner === "";
    this.elements.banner.dataset.kind = says?.kind ?? "error";
    setText(this.elements.banner, banner);
  }

  #middle(says) {
    const { section, title, text, code, action } = this.elements;
    section.hidden = !says;
    if (!says) return;
    section.dataset.kind = says.kind;
    setText(title, says.title);
    setText(text, says.text);
    code.hidden = !says.code;
    setText(code, says.code ?? "");
    action.hidden = !says.action;
    setText(action, says.action ?? "");
  }
}

function notice({ link, cameras, waiting, nowMs, localMs }) {
  const waitS = Math.ceil((link.retryMs - localMs) / 1000);
  const retry = waitS > 0 ? `Trying again in ${waitS} s.` : "Trying again now.";
  const lost = `${sinceText(nowMs - (localMs - link.sinceMs), nowMs)}.`;
  const reason = link.reason ? `${link.reason}.` : "";
  switch (link.state) {
    case "connecting":
      return { kind: "loading", title: "Connecting to the dashboard", text: "" };
    case "lost":
      return { kind: "lost", title: "Dashboard unreachable", joint: " ", text: [lost, reason, retry].filter(Boolean).join(" ") };
    case "busy":
      return { kind: "busy", title: "Too many viewers", text: `The dashboard accepts no more viewers at the moment. ${retry}` };
    case "token":
      return { kind: "token", title: "Token needed", text: "The login has expired, or the dashboard has a new token.", action: "Log in", blocks: true };
    case "version":
      return { kind: "error", title: "The dashboard was updated", text: `This page uses web/1, the dashboard ${link.reason}.`, action: "Reload", blocks: true };
    default:
      if (waiting.length > 0) return silent(waiting);
      return cameras > 0 ? null : { kind: "empty", title: "No camera yet", text: "A tile appears here as soon as a pipeline publishes a camera. To try it:", code: EXAMPLE };
  }
}

/** Pipelines that have sent nothing yet. The one that has started this page is called "local". */
function silent(pipelines) {
  if (pipelines.length === 1 && pipelines[0] === "local") {
    return { kind: "starting", title: "The program is starting", text: "It loads its models; the cameras come after that." };
  }
  const names = pipelines.slice(0, 3).join(", ") + (pipelines.length > 3 ? ` and ${pipelines.length - 3} more` : "");
  return { kind: "starting", title: `No messages from ${names} yet`, text: "It may still be starting. If this lasts, check the address and the keys." };
}
