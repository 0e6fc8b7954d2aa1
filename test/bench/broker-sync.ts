/**
 * What a push costs more because the broker has each message of a stream on disk before it says so: `node test/bench/broker-sync.ts
 * [BLOCKS [PUSHES]]`, as root, on a yard of its own. Blocks of pushes in turn with the broker as Boxyard configures it and with NATS'
 * own default of two minutes; the same website, one changed file a push.
 */
import { median, must } from "./measure.ts";

process.env["BOXYARD_TEST_YARD"] ??= "bench";
const { bin, eventually, lastDeployment, listServers, TEST_YARD } = await import("../harness/yard.ts");
const { mustInServer } = await import("../harness/servers.ts");
const { commitPage, createSite, removeSite } = await import("../harness/site.ts");

const [blocks = 6, pushes = 10] = process.argv.slice(2).map(Number);
const CONFIGURATION = "/etc/nats-server.conf";
const SETTING = "sync_interval: always";
/** NATS' own. */
const DEFAULT = 'sync_interval: "2m"';

interface Times {
  readonly whole: number[];
  readonly toLastSwitch: number[];
}

await must(bin("up", ["--yard", TEST_YARD, "--json"], 1_800_000));
let number = 0;
const site = await createSite("sync.example.test");
const always: Times = { whole: [], toLastSwitch: [] };
const later: Times = { whole: [], toLastSwitch: [] };
try {
  await push();
  for (let block = 0; block < blocks; block++) {
    // Who comes first changes: whatever drifts meets both.
    for (const setting of block % 2 === 0 ? [SETTING, DEFAULT] : [DEFAULT, SETTING]) {
      await use(setting);
      // Not counted: the first one after the broker's start.
      await push();
      for (let nth = 0; nth < pushes; nth++) await push(setting === SETTING ? always : later);
    }
  }
} finally {
  await use(SETTING);
  await removeSite(site);
}
for (const what of ["whole", "toLastSwitch"] as const) {
  const [mine, theirs] = [median(always[what]), median(later[what])];
  console.log(
    `${what}: always ${mine.toFixed(0)} ms, after two minutes ${theirs.toFixed(0)} ms, ratio ${(mine / theirs).toFixed(2)} (${blocks * pushes} pushes each)`,
  );
}

async function use(setting: string): Promise<void> {
  const before = (await mustInServer("control1", "cat", CONFIGURATION)).includes(setting);
  if (before) return;
  await mustInServer(
    "control1",
    "sh",
    "-c",
    `sed -i 's/sync_interval: [^,}]*/${setting}/' ${CONFIGURATION} && grep -q '${setting}' ${CONFIGURATION} && systemctl restart nats-server`,
  );
  await eventually("all servers ready", async () => (await listServers()).every(({ state }) => state === "ready"), 60_000);
}

async function push(times?: Times): Promise<void> {
  await commitPage(site.repository, `push ${number++}`);
  const startedAt = performance.now();
  const { exitCode, stderr } = await site.repository.push(site.website.gitUrl);
  const whole = performance.now() - startedAt;
  if (exitCode !== 0) throw new Error(stderr);
  if (times === undefined) return;
  const { acceptedAt, servers } = await lastDeployment(site.website.id);
  times.whole.push(whole);
  times.toLastSwitch.push(Math.max(...servers.map(({ switchedAt }) => Date.parse(switchedAt ?? ""))) - Date.parse(acceptedAt));
}
