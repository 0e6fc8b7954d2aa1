import { expect, test } from "vitest";
import { mustInServer } from "#harness/servers.ts";
import { listServers, showWebsite } from "#harness/yard.ts";

const BOX = "c1b1";

test("every server looks each hour whether a log is over its bound", async () => {
  for (const { name } of await listServers()) {
    const shown = await mustInServer(name, "systemctl", "list-timers", "--output=json", "logrotate.timer");
    const [timer] = JSON.parse(shown) as { next: number }[];
    const { next = 0 } = timer ?? {};
    const now = Number(await mustInServer(name, "date", "+%s"));
    expect(next / 1e6 - now, name).toBeGreaterThan(0);
    expect(next / 1e6 - now, name).toBeLessThanOrEqual(75 * 60);
    expect(await mustInServer(name, "grep", "-c", "^maxsize 100M$", "/etc/logrotate.conf"), name).toBe("1");
  }
});

test("a website's log that is over its bound begins again, and Apache goes on in the new one", async () => {
  const { id, domains } = await showWebsite("s1");
  const log = `/var/log/boxyard/${id}/access.log`;
  const address = (await listServers()).find(({ name }) => name === BOX)?.address ?? "";
  const visit = (path: string): Promise<string> =>
    mustInServer(BOX, "curl", "-s", "-o", "/dev/null", "-H", `Host: ${domains[0]?.name}`, `http://${address}${path}`);
  await visit("/before-the-rotation");
  await mustInServer(BOX, "truncate", "--size=101M", log);
  await mustInServer(BOX, "systemctl", "start", "logrotate.service");
  expect(await mustInServer(BOX, "grep", "-c", "before-the-rotation", `${log}.1`)).toBe("1");
  await visit("/after-the-rotation");
  expect(await mustInServer(BOX, "tail", "-n", "1", log)).toContain("/after-the-rotation");
  expect(Number(await mustInServer(BOX, "stat", "-c", "%s", log))).toBeLessThan(1_000_000);
  // Rotated once more the first is compressed: 101 MB of nothing need little room.
  await mustInServer(BOX, "truncate", "--size=101M", log);
  await mustInServer(BOX, "systemctl", "start", "logrotate.service");
  expect(Number(await mustInServer(BOX, "stat", "-c", "%s", `${log}.2.gz`))).toBeLessThan(1_000_000);
});
