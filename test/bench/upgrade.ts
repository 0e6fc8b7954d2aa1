/**
 * What visitors notice of an upgrade: `node test/bench/upgrade.ts CHECKOUT`, as root, on a yard of its own. The yard is made by
 * `bin/up` of another checkout of Boxyard, with its dependencies installed; then this one's `bin/up` brings it to this version while
 * twenty requests a second come through the edge, each over a connection of its own: in turn a cached page, one that asks the
 * database, and a file.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { median, must } from "./measure.ts";

process.env["BOXYARD_TEST_YARD"] ??= "bench";
const { bin, TEST_YARD } = await import("../harness/yard.ts");
const { commitPage, createSite, removeSite } = await import("../harness/site.ts");
const { Visitor } = await import("../harness/visitor.ts");

const [checkout = ""] = process.argv.slice(2);
const DOMAIN = "upgrade.example.test";
const PAUSE_MS = 50;
const CONNECT = `new PDO(sprintf('mysql:host=%s;port=%s;dbname=%s', $_SERVER['DB_HOST'], $_SERVER['DB_PORT'], $_SERVER['DB_NAME']), $_SERVER['DB_USER'], $_SERVER['DB_PASSWORD'], [PDO::MYSQL_ATTR_SSL_CA => $_SERVER['DB_SSL_CA']])`;
const PATHS = { cached: () => "/cached.php", database: (nth: number) => `/database.php?${nth}`, file: (nth: number) => `/file.txt?${nth}` };
type Kind = keyof typeof PATHS;

interface Visit {
  readonly kind: Kind;
  readonly atMs: number;
  readonly ms: number;
  /** What was wrong with it; null for nothing. */
  readonly wrong: string | null;
}

await must(run(`${checkout}/bin/up`));
const site = await createSite(DOMAIN);
await commitPage(site.repository, "one", {
  "docroot/cached.php": "<?php header('Cache-Control: public, max-age=600'); echo microtime();",
  "docroot/database.php": `<?php header('Cache-Control: no-store'); ini_set('display_errors', '0'); $db = ${CONNECT}; echo $db->query('select 1')->fetchColumn();`,
  "docroot/file.txt": "a file",
});
await must(site.repository.push(site.website.gitUrl));
const visits: Visit[] = [];
const under = visit(visits);
await sleep(10_000);
const startedMs = performance.now();
await must(bin("up", ["--yard", TEST_YARD, "--json"], 1_800_000));
const upgradeMs = performance.now() - startedMs;
await sleep(20_000);
await under.stop();
await removeSite(site);

const wrong = visits.filter((one) => one.wrong !== null);
console.log(`upgrade ${(upgradeMs / 1000).toFixed(0)} s; ${visits.length} requests, of them failed ${wrong.length}`);
for (const kind of Object.keys(PATHS) as Kind[]) {
  const times = visits.filter((one) => one.kind === kind).map(({ ms }) => ms);
  const longest = Math.max(...times);
  console.log(
    `${kind}: median ${median(times).toFixed(0)} ms, longest ${(longest / 1000).toFixed(1)} s, over a second ${times.filter((ms) => ms > 1_000).length}`,
  );
}
for (const { kind, atMs, wrong: why } of wrong.slice(0, 20)) console.log(`${((atMs - startedMs) / 1000).toFixed(1)} s ${kind}: ${why}`);

function run(command: string): Promise<{ readonly exitCode: number; readonly stderr: string }> {
  return execa(command, ["--yard", TEST_YARD, "--json"], { stdin: "ignore" }).then(({ exitCode = -1, stderr }) => ({ exitCode, stderr }));
}

function visit(into: Visit[]): { stop(): Promise<void> } {
  const going: Promise<void>[] = [];
  let isOver = false;
  const one = async (kind: Kind, nth: number): Promise<void> => {
    const atMs = performance.now();
    const page = await new Visitor(DOMAIN).get(PATHS[kind](nth)).catch((thrown: unknown) => ({ status: 0, text: String(thrown) }));
    const isRight = page.status === 200 && (kind !== "database" || page.text === "1");
    into.push({ kind, atMs, ms: performance.now() - atMs, wrong: isRight ? null : `${page.status} ${page.text.slice(0, 60)}` });
  };
  const coming = (async () => {
    const kinds = Object.keys(PATHS) as Kind[];
    for (let nth = 0; !isOver; nth++) {
      going.push(one(kinds[nth % kinds.length] ?? "file", nth));
      await sleep(PAUSE_MS);
    }
  })();
  return {
    stop: async () => {
      isOver = true;
      await coming;
      await Promise.all(going);
    },
  };
}
