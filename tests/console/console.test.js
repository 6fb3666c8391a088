// The console, as somebody with a browser meets it. `tests/browser` runs this.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { GUEST, until, World } from "./world.js";
import { launch, Visitor } from "./visitor.js";

/** Lists, with the pages of which one is looked at by following the first link of that kind. */
const PAGES = [
  ["overview", "/console"],
  ["flow", "/console/flow"],
  ["event", "/console/flow", /^\/console\/events\/[^/]+$/],
  ["matches", "/console/matches"],
  ["match", "/console/matches?source=games", /^\/console\/matches\/games\/[^/]+$/],
  ["rewards", "/console/rewards"],
  ["reward", "/console/rewards", /^\/console\/rewards\/[^/?]+$/],
  ["players", "/console/players"],
  ["player", "/console/players?source=games", /^\/console\/players\/[^/]+\/[^/]+$/],
  ["leaderboards", "/console/leaderboards"],
  ["leaderboard", "/console/leaderboards", /^\/console\/leaderboards\/[^/]+$/],
  ["offers", "/console/offers"],
  ["offer", "/console/offers", /^\/console\/offers\/[^/]+\/[^/]+$/],
  ["parked", "/console/parked"],
  ["parked-one", "/console/parked", /^\/console\/parked\/\d+$/],
  ["parked-all", "/console/parked/bulk"],
  ["anomalies", "/console/anomalies"],
  ["anomaly", "/console/anomalies", /^\/console\/anomalies\/\d+$/],
  ["endpoints", "/console/endpoints"],
  ["endpoint", "/console/endpoints", /^\/console\/endpoints\/[^/]+$/],
  ["sources", "/console/sources"],
  ["source", "/console/sources", /^\/console\/sources\/[^/]+$/],
  ["no-such-page", "/console/nowhere"],
];
const LISTS = PAGES.filter(([, , link]) => !link);

let world;
let browser;

before(async () => {
  world = new World();
  await world.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await world?.stop();
});

const visit = (options) => Visitor.of(browser, world.base, options);
const heading = (page) => page.locator("main h1").first();

/** Looks at one page as one sees it, and returns what is wrong with it. */
async function looked(visitor, name, width, scheme) {
  const { page } = visitor;
  await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
  const wrong = [];
  const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const brightness = Math.max(...ground.match(/\d+/g).slice(0, 3).map(Number));
  if ((scheme === "dark") !== (brightness < 128)) wrong.push(`its ground is ${ground}`);
  const over = await visitor.overhang();
  if (over > 0) wrong.push(`it is ${over} pixels wider than the window`);
  // The same page in the dark has other colours and nothing else.
  wrong.push(...await visitor.barriers(scheme === "dark" ? ["color-contrast"] : undefined));
  if (process.env.CONSOLE_PICTURES) {
    const path = join(process.env.CONSOLE_PICTURES, `${name}-${width}-${scheme}.png`);
    await page.screenshot({ path, fullPage: true });
  }
  return wrong.map((text) => `${name} at ${width}, ${scheme}: ${text}`);
}

/** Every page of a list, at one width, in both colours. */
async function tour(pages, width, prefix = "") {
  const visitor = await visit({ width });
  const wrong = [];
  await visitor.open("/console/login");
  for (const scheme of ["light", "dark"]) wrong.push(...await looked(visitor, `${prefix}login`, width, scheme));
  await visitor.logIn();
  visitor.expects("/console/nowhere");
  for (const [name, list, link] of pages) {
    let path = list;
    if (link) {
      await visitor.open(list);
      const links = await visitor.page.locator("main a[href]").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
      path = links.find((href) => link.test(href) && href !== "/console/parked/bulk");
      if (!path) {
        wrong.push(`${list} has no link to a page of the kind ${name}`);
        continue;
      }
    }
    const answer = await visitor.open(path);
    assert.equal(answer.status(), name === "no-such-page" ? 404 : 200, path);
    await heading(visitor.page).waitFor();
    for (const scheme of ["light", "dark"]) wrong.push(...await looked(visitor, prefix + name, width, scheme));
  }
  assert.deepEqual(wrong, []);
  await visitor.leave();
}

describe("the console in a browser", { concurrency: false }, () => {
  test("nobody gets in with a wrong token, and out is out", async () => {
    const stranger = await visit();
    const { page } = stranger;
    await stranger.open("/console/parked");
    assert.equal(new URL(page.url()).pathname, "/console/login");
    stranger.expects("/console/login");
    await page.getByLabel("Token").fill("a-token-that-nobody-has-0123456789");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("alert").filter({ hasText: "Not let in" }).waitFor();
    await page.getByLabel("Token").fill(GUEST);
    await page.getByRole("button", { name: "Log in" }).click();
    // Where one wanted to go in the first place.
    await page.getByRole("heading", { level: 1, name: "Parked" }).waitFor();
    assert.match(await page.locator(".actor").textContent(), /guest.*looks only/s);
    const [cookie] = (await stranger.context.cookies()).filter(({ httpOnly }) => httpOnly);
    assert.ok(cookie && cookie.sameSite === "Strict", "the session's cookie is not closed to scripts and other sites");
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Token").waitFor();
    await stranger.open("/console/flow");
    assert.equal(new URL(page.url()).pathname, "/console/login");
    await stranger.leave();
  });

  test("pages with nothing on them say what to do next", async () => {
    const ann = await (await visit()).logIn();
    const wrong = [];
    for (const [name, path] of LISTS.filter(([name]) => name !== "no-such-page")) {
      await ann.open(path);
      const empty = ann.page.locator(".empty");
      // There are sources, boards and an endpoint, because the configuration has them; and a link leads to "parked-all"
      // only where something is parked.
      if (!["sources", "leaderboards", "endpoints", "parked-all"].includes(name)) {
        assert.ok((await empty.first().textContent()).length > 60, `${path} does not say what to do`);
      }
      wrong.push(...await looked(ann, `empty-${name}`, 1280, "light"));
    }
    assert.deepEqual(wrong, []);
    await ann.leave();
  });

  test("all pages of the play are filled: traffic arrives live, and a chart moves", async () => {
    const ann = await (await visit()).logIn();
    const { page } = ann;
    const flow = await ann.context.newPage();
    await flow.goto("/console/flow");
    // What is gone after a reload.
    for (const one of [page, flow]) await one.evaluate(() => { globalThis.stayed = true; });
    const chart = () => page.locator(".chart").first().locator("rect.bar")
      .evaluateAll((bars) => bars.map((bar) => bar.getAttribute("height")).join());
    const accepted = async () => Number((await page.locator(".figure").filter({ hasText: "Events accepted" })
      .locator("dd").evaluate((dd) => dd.firstChild.textContent)).replace(/\D/g, ""));
    const flat = await chart();
    assert.equal(await accepted(), 0);
    const playing = world.play({ lives: 60, seed: 1 });
    await until("the first figure on the overview", async () => await accepted() > 0);
    await playing;
    await until("the chart moved", async () => await chart() !== flat);
    await until("the flow is full", async () => await flow.locator("#list tbody tr").count() === 50);
    for (const one of [page, flow]) assert.ok(await one.evaluate(() => globalThis.stayed), "a page was loaded again");
    await flow.goto("/console/flow?verdict=refused");
    const refused = (await flow.locator("#list tbody tr td:nth-child(2)").allTextContents()).map((text) => text.trim());
    assert.ok(refused.length > 0 && refused.every((text) => text.endsWith("refused")), `${refused}`);
    // What waits for somebody, so that every page has something: two ends of one match, and an event of no known kind.
    assert.equal(await world.deliver(world.finished("two-ends", "red")), 200);
    assert.equal(await world.deliver(world.finished("two-ends", "blue")), 200);
    await until("an anomaly", async () => (await world.api("/anomalies")).items.length > 0);
    await until("something is parked", async () => (await world.api("/parked")).items.length > 0);
    await ann.leave();
  });

  test("all pages are sound at 1280 pixels, light and dark", () => tour(PAGES, 1280));
  test("all pages are sound at 390 pixels, light and dark", () => tour(PAGES, 390));

  test("the flow is live, and holds when it is paused", async () => {
    const ann = await (await visit()).logIn();
    const { page: held } = ann;
    await ann.open("/console/flow?source=games");
    const going = await ann.context.newPage();
    await going.goto("/console/flow?source=games");
    const shows = (page, id) => page.locator("#list").getByRole("link", { name: id, exact: true }).first().isVisible();

    assert.equal(await world.deliver(world.finished("before-the-pause")), 200);
    for (const page of [held, going]) await until("a delivery on a live page", () => shows(page, "before-the-pause"));
    await held.getByRole("button", { name: "Pause" }).click();
    assert.match(await held.locator("[data-live]").textContent(), /paused/);
    // The second one comes later than a page that only were slow would need for the first one.
    for (const id of ["in-the-pause-1", "in-the-pause-2"]) {
      assert.equal(await world.deliver(world.finished(id)), 200);
      await until(`${id} on the other page`, () => shows(going, id));
    }
    assert.equal(await shows(held, "in-the-pause-1"), false, "a paused page went on");
    await held.getByRole("button", { name: "Go on" }).click();
    await until("what came in the pause", () => shows(held, "in-the-pause-2"));

    // A filter counts for what comes later too.
    await going.getByLabel("Source", { exact: true }).selectOption("servers");
    await until("only one source", async () =>
      (await going.locator("#list tbody tr td:nth-child(3)").allTextContents()).every((source) => source === "servers"));
    assert.match(going.url(), /source=servers/);
    await ann.leave();
  });

  test("a match is followed from the list to its money, which adds up", async () => {
    assert.equal(await world.deliver(world.finished("the-story")), 200);
    const settled = await until("the match is settled", async () => {
      const match = await world.api("/matches/games/the-story");
      return JSON.stringify(match)?.includes("settled") && match;
    });
    assert.ok(settled);
    const ann = await (await visit()).logIn();
    const { page } = ann;
    await page.getByRole("navigation", { name: "Pages", exact: true }).getByRole("link", { name: "Matches" }).click();
    await page.locator("#list").getByRole("link", { name: "the-story", exact: true }).click();
    await page.getByRole("heading", { level: 1, name: "the-story" }).waitFor();

    const cells = (row) => row.locator("td.number").evaluateAll((all) => all.map((cell) => {
      const digits = cell.textContent.replace("−", "-").replace(/[^\d.-]/g, "");
      return digits === "" || digits === "-" ? 0 : Math.round(Number(digits) * 100);
    }));
    const statement = page.locator("table.statement").first();
    const row = (name) => statement.locator("tr").filter({ has: page.locator("th", { hasText: name }) });
    const [ann1, bob] = [await cells(row(/^ann$/)), await cells(row(/^bob$/))];
    assert.deepEqual([ann1, bob], [[1000, 1800, 0, 800], [1000, 0, 0, -1000]]);
    const [pot, paid, refunded] = await cells(row("All players"));
    const fee = (await cells(row("Kept as the fee"))).find((value) => value !== 0);
    const left = (await cells(row("Still in escrow"))).find((value) => value !== 0) ?? 0;
    assert.deepEqual([pot, paid, refunded, fee, left], [2000, 1800, 0, 200, 0]);
    assert.equal(pot, paid + refunded + fee + left);
    await page.getByText("adds up").first().waitFor();

    // Its story: what came, what moved, who was told.
    for (const group of ["came", "moved", "told"]) await page.locator(`.timeline li.${group}`).first().waitFor();
    const moved = await page.locator(".timeline li.moved").allTextContents();
    for (const what of ["hold", "payout", "fee"]) {
      assert.ok(moved.some((text) => text.includes(what)), `no ${what} among: ${moved}`);
    }
    await page.getByRole("link", { name: "delivery and event" }).first().click();
    await page.getByRole("heading", { level: 2, name: "The delivery, as it came" }).waitFor();
    assert.match(await page.locator("#body").textContent(), /RecreationalGameCompleted/);
    await page.getByRole("heading", { level: 2, name: "What came of it" }).waitFor();
    assert.equal(await page.locator(".timeline").getByText("payout").count() > 0, true);
    await page.getByRole("link", { name: "the-story" }).first().click();
    await page.getByRole("heading", { level: 1, name: "the-story" }).waitFor();

    // The same match by the search.
    await ann.open("/console/matches");
    await page.getByLabel("Find by any id").fill("the-story");
    await page.getByRole("button", { name: "Find" }).click();
    await page.getByRole("heading", { level: 1, name: "the-story" }).waitFor();
    await ann.leave();
  });

  test("what is parked is rehearsed and replayed, one and then all", async () => {
    const parked = async () => (await world.api("/parked?worker=match-escrow&limit=100")).items;
    const ids = Array.from({ length: 31 }, (_, at) => `mistaken-${at}`);
    await world.break("mistaken-");
    for (const id of ids) assert.equal(await world.deliver(world.finished(id)), 200);
    await until("all of them are parked", async () => (await parked()).length === ids.length);
    await world.mend();

    const ann = await (await visit()).logIn();
    const { page } = ann;
    await ann.open("/console/parked?worker=match-escrow");
    await page.locator(".listhead", { hasText: "31 waiting" }).waitFor();
    const before = page.locator("#list tbody tr").first();
    const subject = (await before.locator("td.id").textContent()).trim();
    await before.getByRole("link").first().click();
    await page.getByText("a rule that was made by mistake").first().waitFor();

    // The rehearsal says what would be done, and looking at it does nothing.
    const rehearsal = page.locator("section").filter({ has: page.getByRole("heading", { name: "What a replay would do" }) });
    assert.match(await rehearsal.locator("li").first().textContent(), /match.?snapshot.*match-escrow/is);
    assert.equal((await parked()).length, ids.length);
    assert.equal(await world.sql(`SELECT count(*) FROM match WHERE match_id = '${subject}'`), "0");

    // Not without a reason.
    await page.getByRole("button", { name: "Replay it" }).click();
    assert.equal(await page.locator("textarea:invalid").count(), 1);
    await page.getByLabel("Why, for whoever audits this").fill("the rule is gone");
    await page.getByRole("button", { name: "Replay it" }).click();
    await page.getByRole("status").filter({ hasText: "is handed on" }).waitFor();
    await page.getByText("the rule is gone").waitFor();
    await until("the money of the match moved", async () =>
      await world.sql(`SELECT pot || ' ' || paid || ' ' || fee FROM match WHERE match_id = '${subject}'`) === "2000 1800 200");
    await ann.open(`/console/matches/games/${subject}`);
    await page.getByText("adds up").first().waitFor();

    // The others all together: more than are done at once, so that the page goes on by itself.
    await ann.open("/console/parked?worker=match-escrow");
    await page.getByRole("link", { name: "Replay or discard them all" }).click();
    await page.getByRole("heading", { name: "What a replay would do with the first ones" }).waitFor();
    assert.match(await page.locator("tbody tr").first().textContent(), /match-escrow/);
    await page.getByLabel("Why, for whoever audits this").fill("the rule is gone for all");
    await page.getByRole("button", { name: "Replay all 30" }).click();
    await page.getByText("30 of 30 looked at, done").waitFor();
    await page.getByText("30 replayed, 0 not possible.").waitFor();
    await until("every match has its money", async () =>
      await world.sql("SELECT count(*) FROM match WHERE match_id LIKE 'mistaken-%' AND paid = 1800 AND fee = 200") === "31");
    assert.deepEqual(await parked(), []);
    await page.getByRole("link", { name: "Back to what waits" }).click();
    await page.getByText("None fits").waitFor();

    // What cannot be read today either says so, and is discarded.
    assert.equal(await world.deliver({ event: "SomethingNew", id: "unheard-of" }), 200);
    await until("it is parked", async () =>
      (await world.api("/parked?kind=unrecognized&source=games")).items.some(({ type }) => type === "SomethingNew"));
    await ann.open("/console/parked?kind=unrecognized&type=SomethingNew");
    await page.locator("#list tbody tr").first().getByRole("link").first().click();
    await page.getByText("A replay is not possible").waitFor();
    assert.equal(await page.getByRole("button", { name: "Replay it" }).count(), 0);
    await page.getByLabel("Why, for whoever audits this").fill("nobody needs it");
    await page.getByRole("button", { name: "Discard it" }).click();
    await page.getByRole("status").filter({ hasText: "is discarded" }).waitFor();
    await ann.leave();
  });

  test("an anomaly is decided with a reason, by who may act", async () => {
    assert.equal(await world.deliver(world.finished("contested", "red")), 200);
    assert.equal(await world.deliver(world.finished("contested", "blue")), 200);
    await until("the anomaly", async () => (await world.api("/anomalies?subject=contested")).items.length > 0);

    const guest = await (await visit()).logIn(GUEST);
    await guest.open("/console/anomalies?subject=contested");
    await guest.page.locator("#list tbody tr").first().getByRole("link").first().click();
    await guest.page.getByRole("heading", { name: "What was told" }).waitFor();
    assert.equal(await guest.page.getByRole("button", { name: "Close it with this reason" }).count(), 0);
    await guest.leave();

    const ann = await (await visit()).logIn();
    const { page } = ann;
    await ann.open("/console/anomalies?subject=contested");
    await page.locator("#list tbody tr").first().getByRole("link").first().click();
    // Both ends, side by side: ann stands as the winner, bob is told to be.
    await page.getByRole("heading", { name: "What stands" }).waitFor();
    await page.getByRole("heading", { name: "What was told" }).waitFor();
    const id = new URL(page.url()).pathname.split("/").at(-1);
    await page.getByLabel("Why, for whoever audits this").fill("the scoreboard is right");
    await page.getByRole("button", { name: "Close it with this reason" }).click();
    await page.getByRole("status").filter({ hasText: `Anomaly ${id} is decided.` }).waitFor();
    await page.getByText("the scoreboard is right").waitFor();
    assert.equal(await world.sql(`SELECT resolved_by FROM anomaly WHERE id = ${id}`), "ann");
    assert.equal(await page.getByRole("button", { name: "Close it with this reason" }).count(), 0);
    await ann.leave();
  });

  test("an endpoint is tried, and what came of it shows", async () => {
    const ann = await (await visit()).logIn();
    const { page } = ann;
    await ann.open("/console/endpoints/game");
    const sent = world.notices.length;
    const form = page.locator("form[action$='/test']");
    await form.locator("textarea, input[name=reason]").fill("is it there?");
    await form.getByRole("button").click();
    await page.getByRole("status").filter({ hasText: "A test is on its way" }).waitFor();
    await until("the receiver got it", () => world.notices.length > sent);
    await until("it shows as delivered", async () => {
      await ann.open("/console/endpoints/game");
      return /endpoint\.test[\s\S]*delivered/.test(await page.locator("main").innerText());
    });
    await ann.leave();
  });

  test("by keys alone, and in the colours that were chosen", async () => {
    const ann = await (await visit({ colorScheme: "light" })).logIn();
    const { page } = ann;
    await ann.open("/console/matches");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.id), "q");

    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.getByRole("button", { name: "Theme: system" }).click();
    await page.getByRole("button", { name: "Theme: light" }).click();
    await page.getByRole("button", { name: "Theme: dark" }).waitFor();
    const dark = await ground();
    assert.notEqual(dark, light);
    await ann.open("/console/players");
    assert.equal(await ground(), dark, "the choice is forgotten");
    await ann.leave();
  });

  test("without scripts every list is there", async () => {
    assert.equal(await world.deliver(world.finished("for-everybody")), 200);
    await until("the match is there", () => world.api("/matches/games/for-everybody"));
    const context = await browser.newContext({ baseURL: world.base, javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto("/console/matches");
    await page.getByLabel("Token").fill(GUEST);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("heading", { level: 1, name: "Matches" }).waitFor();
    await page.getByLabel("Source", { exact: true }).selectOption("games");
    await page.getByRole("button", { name: "Filter" }).click();
    await page.waitForURL(/source=games/);
    const sources = await page.locator("#list tbody tr td:nth-child(2)").allTextContents();
    assert.ok(sources.length > 0 && sources.every((source) => source === "games"), `${sources}`);
    await context.close();
  });
});
