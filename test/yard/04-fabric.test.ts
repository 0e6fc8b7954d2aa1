import { fmtCreds } from "@nats-io/jwt";
import { fromSeed } from "@nats-io/nkeys";
import { connect, credsAuthenticator } from "@nats-io/transport-node";
import { describe, expect, test } from "vitest";
import { ENROLMENT_PATH, Enrolment } from "#contract/enrolment.ts";
import type { Envelope } from "#contract/envelope.ts";
import { ServerSpec } from "#contract/spec/server.ts";
import { identityCheck } from "#fabric/connection.ts";
import { openSealed } from "#fabric/sealing.ts";
import { inServer, mustInServer } from "#harness/servers.ts";
import { boxyard, eventually, listServers } from "#harness/yard.ts";

/** A client with the credential that lies on a box, as somebody who has taken the box over would have it. */
async function asBox() {
  const enrolment = Enrolment.parse(JSON.parse(await mustInServer("c1b1", "cat", ENROLMENT_PATH)));
  const { jwt, seed } = enrolment.credentials;
  const creds = await fmtCreds(jwt, fromSeed(new TextEncoder().encode(seed)));
  return connect({
    servers: enrolment.brokers,
    tls: { ca: enrolment.caPem, ...identityCheck(enrolment.brokers) },
    authenticator: credsAuthenticator(creds),
    inboxPrefix: "_INBOX_c1b1",
    reconnect: false,
  });
}

describe("the credential of a server", () => {
  test("reads its own spec and no other's", async () => {
    const connection = await asBox();
    const { certificatePem, keyPem } = Enrolment.parse(JSON.parse(await mustInServer("c1b1", "cat", ENROLMENT_PATH)));
    const own = JSON.parse((await connection.request("from.c1b1.spec", certificatePem, { timeout: 2_000 })).json<Envelope>().payload);
    expect(ServerSpec.parse(JSON.parse(openSealed(own.body, keyPem))).server).toBe("c1b1");
    await expect(connection.request("from.c1b2.spec", undefined, { timeout: 2_000 })).rejects.toThrow(/permission/i);
    await connection.close();
  });

  test("can neither ask another server, nor nudge it, nor write its spec or status, nor claim a push", async () => {
    const connection = await asBox();
    for (const subject of [
      "request.c1b2.server.ping",
      "nudge.c1b2",
      "from.c1b2.event",
      "from.c1b1.push",
      "status.c1b2",
      "push.git1.s1",
      "event.control1.deployment",
    ]) {
      await expect(connection.request(subject, "{}", { timeout: 1_000 }), subject).rejects.toThrow(/permission/i);
    }
    await connection.close();
  });

  test("cannot listen to what others are asked or answer", async () => {
    const connection = await asBox();
    for (const subject of ["request.>", "request.c1b2.>", "_INBOX.>", "_ANSWER.>", ">", "from.>", "push.>"]) {
      const refused = new Promise<Error | null>((resolve) => {
        connection.subscribe(subject, { callback: (error) => resolve(error) });
        setTimeout(() => resolve(null), 1_000);
      });
      expect((await refused)?.message ?? "allowed", subject).toMatch(/permission/i);
    }
    await connection.close();
  });
});

describe("a server", () => {
  test("that falls silent is reported unreachable with the reason, and is ready again when it is back", async () => {
    await mustInServer("c1b2", "systemctl", "stop", "boxyard-agent");
    try {
      const silent = await eventually("c1b2 to be missed", async () =>
        (await listServers()).find((server) => server.name === "c1b2" && server.state === "unreachable"),
      );
      expect(silent.reason).toBeTruthy();
      const ping = await boxyard("ping", "c1", "--json");
      expect(ping.exitCode).toBe(1);
      const replies = JSON.parse(ping.stdout) as { server: string; error: string | null }[];
      expect(replies.filter((reply) => reply.error !== null).map((reply) => reply.server)).toEqual(["c1b2"]);
    } finally {
      await mustInServer("c1b2", "systemctl", "start", "boxyard-agent");
    }
    await eventually("c1b2 to be ready", async () =>
      (await listServers()).find((server) => server.name === "c1b2" && server.state === "ready"),
    );
  });

  test("that was changed by hand is put right again", async () => {
    await mustInServer("c1v1", "sh", "-c", "echo 'broken' > /etc/hosts; systemctl stop memcached");
    await mustInServer("c1v1", "systemctl", "restart", "boxyard-agent");
    await eventually(
      "c1v1 to be repaired",
      async () => (await inServer("c1v1", ["sh", "-c", "grep -q c1b1 /etc/hosts && systemctl is-active memcached"])).exitCode === 0,
    );
  });
});
