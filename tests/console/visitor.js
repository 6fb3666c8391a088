// Somebody with a browser. Everything that a page must not do is noted and fails the test that did it: an error on the
// console, a request that fails, a request to another host.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { ANN, PATIENCE } from "./world.js";

const require = createRequire(join(process.env.CONSOLE_TOOLS, "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export function launch() {
  // Chromium's sandbox cannot be had by root, nor in most containers; only pages of ours are opened.
  return chromium.launch({
    executablePath: process.env.CONSOLE_BROWSER,
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"],
  });
}

export class Visitor {
  static async of(browser, base, { width = 1280, colorScheme = "light" } = {}) {
    const visitor = new Visitor();
    visitor.base = base;
    visitor.faults = [];
    visitor.expected = [];
    visitor.context = await browser.newContext({
      baseURL: base, colorScheme, viewport: { width, height: width < 500 ? 844 : 900 }, reducedMotion: "reduce",
    });
    visitor.context.setDefaultTimeout(PATIENCE);
    visitor.context.on("page", (page) => visitor.watch(page));
    visitor.page = await visitor.context.newPage();
    return visitor;
  }

  watch(page) {
    const note = (text) => this.faults.push(`${new URL(page.url(), this.base).pathname}: ${text}`);
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) {
        const { url } = message.location();
        if (!this.expected.some((path) => url === this.base + path)) note(`console: ${message.text()} (${url})`);
      }
    });
    page.on("pageerror", (error) => note(`script: ${error}`));
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== this.base) note(`a request to elsewhere: ${request.url()}`);
    });
    page.on("requestfailed", (request) => {
      // Leaving a page ends what it still waits for: its stream, a part that was asked for again, and the icon, which
      // browsers ask for when the page is there already.
      const later = ["eventsource", "xhr", "fetch"].includes(request.resourceType()) || request.url().endsWith("/icon.svg");
      const left = request.failure()?.errorText === "net::ERR_ABORTED" && later;
      if (!left) note(`failed: ${request.method()} ${request.url()} ${request.failure()?.errorText}`);
    });
    page.on("response", (response) => {
      const path = response.url().slice(this.base.length);
      if (response.status() >= 400 && !this.expected.includes(path)) note(`${response.status()}: ${path}`);
    });
  }

  /** An address that is to be answered by an error. */
  expects(path) { this.expected.push(path); }

  async open(path) {
    const answer = await this.page.goto(path, { waitUntil: "load" });
    return answer;
  }

  async logIn(token = ANN) {
    await this.open("/console");
    await this.page.getByLabel("Token").fill(token);
    await this.page.getByRole("button", { name: "Log in" }).click();
    await this.page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    return this;
  }

  /** What axe finds that is serious or worse, in words; by all of its rules, or by some. */
  async barriers(rules) {
    await this.page.evaluate(axe);
    const found = await this.page.evaluate(async (runOnly) => {
      const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"], ...runOnly && { runOnly } });
      return violations.map(({ id, impact, help, nodes }) => ({
        id, impact, help, nodes: nodes.map(({ html, any }) => `${html.slice(0, 160)} ${any[0]?.message ?? ""}`),
      }));
    }, rules);
    return found.filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, impact, help, nodes }) => `${id} (${impact}): ${help}\n  ${nodes.slice(0, 3).join("\n  ")}`);
  }

  /** By how many pixels the page is wider than the window. */
  overhang() {
    return this.page.evaluate(() => document.scrollingElement.scrollWidth - document.documentElement.clientWidth);
  }

  /** Fails when anything happened that no page may do. */
  blameless() { assert.deepEqual(this.faults, []); }

  async leave() {
    await this.context.close();
    this.blameless();
  }
}
