// About two minutes with a yard that is there: what accounts of one server see of each other.
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "#base/retry.ts";
import { inServer, mustInServer } from "#harness/servers.ts";
import { createSite, removeSite, type Site } from "#harness/site.ts";

const DOMAINS = { owner: "owner.example.test", neighbour: "neighbour.example.test" };
/** What no neighbour may see: on command lines, and in the script of a hook. */
const TOKEN = `token-${randomBytes(8).toString("hex")}`;
const AFTER = `version: 3\nhooks:\n  after:\n    - exec -a ${TOKEN} sleep 600\n`;
const SERVERS = ["c1b1", "c1s", "git1"];
let owner: Site;
let neighbour: Site;
let hook: string;

beforeAll(async () => {
  [owner, neighbour] = [await createSite(DOMAINS.owner), await createSite(DOMAINS.neighbour)];
  const php = "<?php header('Cache-Control: no-store'); echo isset($_GET['run']) ? shell_exec($_GET['run']) : 'front';";
  await neighbour.repository.write({ "docroot/index.php": php });
  await owner.repository.write({ "docroot/index.php": "<?php echo 1;", Boxfile: AFTER });
  for (const { repository, website } of [owner, neighbour]) {
    await repository.commit("Files");
    const pushed = await repository.push(website.gitUrl);
    expect(pushed.exitCode, pushed.stderr).toBe(0);
  }
  hook = await until("the hook", () => unitOf(owner), { timeoutMs: 60_000 });
});

afterAll(async () => {
  for (const site of [owner, neighbour]) await removeSite(site);
});

async function unitOf({ website }: Site): Promise<string | null> {
  const listed = await mustInServer("c1s", "systemctl", "list-units", "--no-legend", "--plain", `boxyard-hook-${website.id}-*`);
  return /boxyard-hook-\S+/.exec(listed)?.[0] ?? null;
}

/** A command as an account of the server. */
async function as({ website }: Site, server: string, command: string): Promise<string> {
  const { stdout, stderr } = await inServer(server, ["runuser", "-u", website.id, "--", "/bin/sh", "-c", command]);
  return `${stdout}${stderr}`;
}

/** A process of the owner's whose name says the token, while `use` runs. */
async function withProcess(server: string, use: () => Promise<void>): Promise<void> {
  const unit = `trial-${randomBytes(4).toString("hex")}.service`;
  await mustInServer(
    server,
    "systemd-run",
    "--quiet",
    `--unit=${unit}`,
    `--uid=${owner.website.id}`,
    "/bin/bash",
    "-c",
    `exec -a ${TOKEN} sleep 600`,
  );
  try {
    const shown = async () => (await mustInServer(server, "ps", "-eo", "args")).includes(`${TOKEN} 600`) || null;
    await until("the process", shown, { timeoutMs: 30_000 });
    await use();
  } finally {
    await mustInServer(server, "systemctl", "stop", unit);
  }
}

/** The ways to other accounts' processes; all say the token to their owner, or to root. */
const WAYS = [
  "ps -eo user,args",
  "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
  "busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager GetUnitProcesses s system.slice",
  "systemctl --no-pager --full status",
];

describe.each(SERVERS)("on %s", (server) => {
  test("an account sees its own processes and not its neighbour's", async () => {
    await withProcess(server, async () => {
      for (const way of WAYS) {
        expect(await mustInServer(server, "sh", "-c", way), `root: ${way}`).toContain(TOKEN);
        expect(await as(neighbour, server, way), way).not.toContain(TOKEN);
      }
      expect(await as(owner, server, "ps -eo args")).toContain(TOKEN);
      expect(await as(neighbour, server, "ps -eo user= | sort -u")).toMatch(new RegExp(`^${neighbour.website.id}\\s*$`));
    });
  });
});

describe("a hook", () => {
  test("has its commands in no command line and in nothing that systemd tells; its own account reads the script", async () => {
    const told = await mustInServer("c1s", "systemctl", "show", hook);
    expect(told).toContain(`/var/lib/boxyard/hooks/${owner.website.id}/`);
    expect(told).not.toContain(TOKEN);
    const script = /path=\S*bash ; argv\[\]=\S+ (?:-\S+ |pipefail )*(\S+) ;/.exec(told)?.[1] ?? "";
    expect(await as(owner, "c1s", `cat ${script}`)).toContain(TOKEN);
    expect(await as(owner, "c1s", `echo >> ${script}`)).toContain("Permission denied");
    expect(await as(neighbour, "c1s", `cat ${script}`)).toContain("Permission denied");
    expect(await as(neighbour, "c1s", `systemctl show ${hook}; busctl tree org.freedesktop.systemd1`)).not.toContain(owner.website.id);
  });
});

test("PHP sees no processes but its website's", async () => {
  await withProcess("c1b1", async () => {
    const said = await mustInServer(
      "c1b1",
      "curl",
      "-s",
      "-H",
      `Host: ${DOMAINS.neighbour}`,
      "http://127.0.0.1/?run=ps+-eo+user%3D,args%3D",
    );
    expect(said).toContain("ps -eo");
    expect(said).not.toContain(TOKEN);
    expect(said).not.toMatch(/^root/m);
  });
});

test("a login by SSH has a session and sees itself alone; the database takes it without a password in the command", async () => {
  const { sshUrl, id } = neighbour.website;
  const command =
    "echo session $XDG_SESSION_ID; ps -eo user= | sort -u; mariadb -Ne 'select current_user() like concat(\"'$DB_USER'\", \"@%\"), database() = \"'$DB_NAME'\"'";
  const { stdout, stderr } = await neighbour.repository.ssh(sshUrl, command);
  expect(stdout.split(/\s*\n/), stderr).toEqual([expect.stringMatching(/^session \S+$/), id, "1\t1"]);
});
