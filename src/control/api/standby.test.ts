import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { api } from "#contract/api/routes.ts";
import { FaultReport } from "#contract/fault.ts";
import { freePort } from "#harness/ports.ts";
import { createAuthority, issueCertificate } from "../authority/authority.ts";
import { serveStandby } from "./standby.ts";

const PORT = await freePort("127.0.0.1");
const authority = await createAuthority("main");
const { certificatePem: certificate, keyPem: key } = await issueCertificate(authority, {
  commonName: "control2",
  dnsNames: ["control2"],
  addresses: ["127.0.0.1"],
  validDays: 2,
});

async function ask(method: string, path: string): Promise<{ status: number | undefined; body: string }> {
  const answered = await new Promise<IncomingMessage>((resolve, reject) => {
    const sending = request({ host: "127.0.0.1", port: PORT, ca: authority.certificatePem, method, path, agent: false }, resolve);
    sending.on("error", reject).end(method === "POST" ? "{}" : undefined);
  });
  return { status: answered.statusCode, body: await text(answered) };
}

test("a control server that stands by says so whatever it is asked, without a token, and makes room for the API when it is stopped", async () => {
  const where = { certificate, key, address: "127.0.0.1", port: PORT, server: "control2" };
  const standby = serveStandby(where);
  const routes = [["GET", "/v1/leader"], ["GET", "/"], ...Object.values(api).map(({ method, path }) => [method, path] as const)] as const;
  for (const [method, path] of routes) {
    const { status, body } = await ask(method, path.replaceAll(/[{}]/g, ""));
    const report = FaultReport.strict().parse(JSON.parse(body));
    expect([status, report.code, report.message]).toEqual([503, "control.standby", "control2 stands by: another control server works"]);
  }
  await standby.stop();
  await expect(ask("GET", "/v1/leader")).rejects.toThrow("ECONNREFUSED");
  const again = serveStandby(where);
  expect((await ask("GET", "/v1/leader")).status).toBe(503);
  await again.stop();
});
