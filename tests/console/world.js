// The program that is tested, with a configuration of its own, and what the tests do to it from outside: traffic, a
// receiver of notices, and the operator's mistake in the database that has deliveries parked.
import { execFile, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = new URL("../../", import.meta.url).pathname;
const program = process.env.CONSOLE_PROGRAM;
// Variables of this name lie over the program's configuration, which is ours alone here.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("MATCHPURSE_")));

export const ANN = "a-token-of-ann-who-may-act-0123456789";
export const GUEST = "a-token-of-guest-who-may-look-0123456789";

/** How long anything that must happen may take. It is long, because machines are busy; nothing waits for it to pass. */
export const PATIENCE = 30_000;

/** Asks until the answer is true, and returns it. */
export async function until(what, ask, patience = PATIENCE) {
  const end = Date.now() + patience;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`after ${patience} ms still not: ${what}`);
    await pause(50);
  }
}

/** A port that is free at the moment. The console asks the ingress at the ports that are written down, so none is 0. */
async function spare() {
  const server = http.createServer();
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

function configuration(sinkPort, adminPort) {
  const sources = readFileSync(join(root, "crates/cli/demo/sources.toml"), "utf8")
    // Somebody's second reward on a day is held for review, so that there is something to decide.
    .replace("[sources.offerwall]\n", "[sources.offerwall]\nrewards.player_day_count = 1\n");
  return `
[ingress]
admin_listen = "127.0.0.1:${adminPort}"
drain_delay_ms = 0
[api]
admin_listen = "127.0.0.1:0"
[api.tokens.ann]
secret = "${ANN}"
scopes = ["read", "operate"]
[api.tokens.guest]
secret = "${GUEST}"
scopes = ["read"]
[workers]
attempts_max = 1
[telemetry]
log_filter = "error"
log_format = "human"
[endpoints.game]
url = "http://127.0.0.1:${sinkPort}/notices"
secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]
allow_private = true
[leaderboards.winners]
metric = "won"
[leaderboards.winnings]
metric = "winnings"
currency = "USD"
season = "week"
${sources}`;
}

/** Where psql is, which comes with the private PostgreSQL. */
function psql() {
  const versions = "/usr/lib/postgresql";
  const found = existsSync(versions)
    ? readdirSync(versions).map((version) => join(versions, version, "bin/psql")).filter(existsSync) : [];
  return found.at(-1) ?? "psql";
}

export class World {
  async start() {
    this.folder = mkdtempSync(join(tmpdir(), "matchpurse-console-"));
    // PostgreSQL does not run as root, and must get in.
    chmodSync(this.folder, 0o755);
    this.notices = [];
    this.sink = http.createServer((request, response) => {
      this.notices.push(request.headers["webhook-id"]);
      request.resume().on("end", () => response.end());
    });
    await new Promise((ready) => this.sink.listen(0, "127.0.0.1", ready));
    const config = join(this.folder, "matchpurse.toml");
    writeFileSync(config, configuration(this.sink.address().port, await spare()));
    const flags = ["dev", "--json", "--install", "--port", String(await spare()), "--api-port", "0",
      "--config", config, "--data-dir", join(this.folder, "data")];
    this.child = spawn(program, flags, { env, stdio: ["ignore", "pipe", "pipe"] });
    // Nothing is left running, however this ends.
    process.once("exit", () => this.child.kill("SIGTERM"));
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
    let said = "";
    this.child.stderr.on("data", (data) => { said += data; });
    this.places = await new Promise((ready, failed) => {
      this.child.once("error", failed);
      this.child.once("exit", (code) => failed(new Error(`matchpurse dev ended with ${code}:\n${said}`)));
      let text = "";
      createInterface({ input: this.child.stdout }).on("line", (line) => {
        text += line;
        try { ready(JSON.parse(text)); } catch { /* More lines come. */ }
      });
    });
    this.base = new URL(this.places.api).origin;
  }

  async stop() {
    this.sink?.close();
    this.sink?.closeAllConnections();
    if (this.child && this.child.exitCode === null) {
      const ended = new Promise((done) => this.child.once("exit", done));
      this.child.kill("SIGTERM");
      const code = await ended;
      if (code !== 0) throw new Error(`matchpurse dev ended with ${code} after SIGTERM`);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Plays all four providers. */
  async play({ lives, seed }) {
    await run(program, ["simulate", "--target", new URL(this.places.hooks).origin, "--lives", String(lives),
      "--seed", String(seed), "--odd", "10", "--connections", "2"], { env });
  }

  /** One delivery to the source `games`, signed as Lucra signs. */
  async deliver(body, secret = "44c3e83c-8d8b-475b-9018-75bf831d0ade") {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const signature = createHmac("sha256", secret).update(text).digest("hex");
    const answer = await fetch(`${this.places.hooks}/games`, {
      method: "POST", body: text, headers: { "x-lucra-signature": `sha256=${signature}` },
    });
    return answer.status;
  }

  /** A match between ann and bob, who staked 10.00 each, which `winner` won: 18.00, so that 2.00 were the fee. */
  finished(id, winner = "red") {
    const side = (groupId, userId) => ({
      groupId, users: [{ userId, reward: groupId === winner ? { type: "CASH", value: "18.00" } : null }],
    });
    return {
      event: "RecreationalGameCompleted", id, gameId: "DARTS", status: "CLOSED", type: "RECREATIONAL_GAME",
      subtype: "GROUP_VS_GROUP", buyInAmount: 10, winnerGroupId: winner,
      groups: [side("red", "ann"), side("blue", "bob")],
    };
  }

  /** What the API has. */
  async api(path) {
    const answer = await fetch(`${this.places.api}${path}`, { headers: { authorization: `Bearer ${ANN}` } });
    if (answer.status === 404) return null;
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  async sql(text) {
    const { stdout } = await run(psql(), ["-XqAt", "-v", "ON_ERROR_STOP=1", this.places.database_url, "-c", text]);
    return stdout.trim();
  }

  /** A rule that somebody made by mistake: matches of such names cannot be written. */
  async break(prefix) {
    await this.sql(`CREATE FUNCTION mistake() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'a rule that was made by mistake'; END $$;
      CREATE TRIGGER mistake BEFORE INSERT ON match FOR EACH ROW
      WHEN (NEW.match_id LIKE '${prefix}%') EXECUTE FUNCTION mistake()`);
  }

  async mend() {
    await this.sql("DROP TRIGGER mistake ON match; DROP FUNCTION mistake()");
  }
}
