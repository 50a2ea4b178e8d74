// SPDX-License-Identifier: MIT
// The addresses of the page: the wall, and each camera. `?kiosk` and the like are kept.

const FOLDER = "camera/";

/** Builds and reads addresses below the page's base, whatever a reverse proxy puts before it. */
export class Addresses {
  /** @param {URL} base of the page, as it was when the page was loaded. */
  constructor(base) {
    this.base = base;
  }

  /** The address of a camera, or for null of the wall. */
  of(name) {
    const url = new URL(name === null ? "./" : FOLDER + encodeURIComponent(name), this.base);
    url.search = location.search;
    return url;
  }

  /** The name of the camera in the present address; null on the wall. */
  name() {
    const rest = location.pathname.slice(this.base.pathname.length);
    if (!rest.startsWith(FOLDER)) return null;
    try {
      return decodeURIComponent(rest.slice(FOLDER.length)) || null;
    } catch {
      return null;
    }
  }
}
