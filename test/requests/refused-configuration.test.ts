// Takes up to a minute: a server tries again what was refused until it is accepted.
import { expect, test } from "vitest";
import { inServer, mustInServer } from "#harness/servers.ts";
import { Visitor } from "#harness/visitor.ts";
import { boxyardJson, eventually, listServers, showWebsite } from "#harness/yard.ts";

test("a server keeps its old configuration when the service's own checker refuses the new one, and reports the checker's words", async () => {
  const { domains } = await showWebsite("s1");
  await mustInServer("edge1", "sh", "-c", "cp /usr/sbin/haproxy /root/haproxy.kept && cp -a /etc/haproxy /root/etc-haproxy.kept");
  await mustInServer(
    "edge1",
    "sh",
    "-c",
    'printf \'#!/bin/sh\\ncase " $* " in *" -c "*) echo "[ALERT] parsing: unknown keyword frobnicate" >&2; exit 1;; esac\\nexec /root/haproxy.kept "$@"\\n\' > /root/fake && chmod 755 /root/fake && mount --bind /root/fake /usr/sbin/haproxy',
  );
  try {
    const created = boxyardJson<{ id: string }>("cluster", "create", "--boxes", "1");
    const failed = await eventually(
      "edge1 to report the refusal",
      async () => (await listServers()).find((server) => server.name === "edge1" && server.state === "failed"),
      90_000,
    );
    expect(failed.reason).toContain("unknown keyword frobnicate");
    expect(await mustInServer("edge1", "systemctl", "is-active", "haproxy")).toContain("active");
    expect((await new Visitor(domains[0]?.name ?? "").get("/")).status).toBe(200);
    await mustInServer("edge1", "umount", "/usr/sbin/haproxy");
    const cluster = await created;
    await boxyardJson("cluster", "delete", cluster.id);
  } finally {
    await inServer("edge1", ["umount", "/usr/sbin/haproxy"]);
  }
  await eventually(
    "edge1 to be ready",
    async () => (await listServers()).find((server) => server.name === "edge1" && server.state === "ready"),
    90_000,
  );
});
