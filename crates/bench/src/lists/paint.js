// Opens each page of the console as somebody who has logged in, in turns, and prints when its first content was painted:
// in ms since the navigation began, which counts the server's time too.
"use strict";
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const { join } = require("node:path");

const task = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { chromium } = createRequire(join(task.tools, "package.json"))("playwright-core");

async function main() {
  // Chromium's sandbox cannot be had by root, nor in most containers; only pages of ours are opened.
  const browser = await chromium.launch({
    executablePath: task.browser, args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"],
  });
  const context = await browser.newContext({ baseURL: task.base, viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  await page.goto("/console");
  await page.getByLabel("Token").fill(task.token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();

  const painted = task.pages.map(([name]) => ({ name, times: [] }));
  for (let turn = 0; turn < task.turns; turn += 1) {
    for (const [index, [, path]] of task.pages.entries()) {
      const answer = await page.goto(path, { waitUntil: "load" });
      if (answer.status() !== 200) throw new Error(`${path} was answered by ${answer.status()}`);
      const first = await page.waitForFunction(
        () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
      );
      painted[index].times.push(await first.jsonValue());
    }
  }
  await browser.close();
  process.stdout.write(JSON.stringify(painted));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
