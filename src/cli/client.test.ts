import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Fault, renderFault } from "#base/fault.ts";
import { api } from "#contract/api/routes.ts";
import { faultOf, ScriptedControl } from "#harness/scripted-control.ts";
import { createClient } from "./client.ts";

let control: ScriptedControl;
beforeAll(async () => {
  control = await ScriptedControl.start();
});
afterAll(() => control.stop());
beforeEach(() => {
  control.script = {};
  control.asked.length = 0;
});

test("a call goes to the route's address, its query and its body, and gives the checked answer", async () => {
  control.script = { listDeployments: () => [], removeKey: () => KEY };
  const client = createClient("main", control.access);
  expect(await client.call(api.listDeployments, { input: { website: "s1", limit: 5 } })).toEqual([]);
  expect(await client.call(api.removeKey, { params: { website: "s1" }, input: { fingerprint: "SHA256:a/b+c" } })).toEqual(KEY);
  expect(control.asked).toEqual([
    { route: "listDeployments", params: {}, input: { website: "s1", limit: 5 } },
    { route: "removeKey", params: { website: "s1" }, input: { fingerprint: "SHA256:a/b+c" } },
  ]);
});

test("what the contract refuses is never sent", async () => {
  const client = createClient("main", control.access);
  const fault = await faultOf(client.call(api.addDomain, { params: { website: "s1" }, input: { name: "a.b\n}\nbackend x" } }));
  expect(fault.code).toBe("input.invalid");
  expect(fault.message).toMatch(/^name “a\.b } backend x”: a domain is /);
  expect((await faultOf(client.call(api.showWebsite, { params: { website: "../v1" } }))).message).toContain("a website's id is");
  expect(control.asked).toEqual([]);
});

test("control's fault arrives with its code and its next step", async () => {
  control.script = {
    status: () => {
      throw new Fault("cloud.denied", "the cloud refuses", { next: "give the rights back" });
    },
  };
  const fault = await faultOf(createClient("main", control.access).call(api.status));
  expect([fault.code, renderFault(fault)]).toEqual(["cloud.denied", "the cloud refuses\n→ give the rights back"]);
});

test("an answer that breaks the contract is a fault, not a half-read result", async () => {
  control.script = { listClusters: () => [{ id: "c1" }] as never };
  const fault = await faultOf(createClient("main", control.access).call(api.listClusters));
  expect(fault.code).toBe("control.not-understood");
  expect(renderFault(fault)).toMatch(/0\.boxes: .*\n→ .*bin\/up/);
});

test("a stranger at control's address gets no token", async () => {
  const other = await ScriptedControl.start();
  const fault = await faultOf(createClient("main", { ...control.access, caPem: other.caPem }).call(api.status));
  await other.stop();
  expect(fault.code).toBe("control.untrusted");
  expect(control.asked).toEqual([]);
});

test("nobody at control's address is told with the address and what starts it", async () => {
  const fault = await faultOf(createClient("try", { ...control.access, urls: ["https://127.0.0.1:1"] }).call(api.status));
  expect(renderFault(fault)).toMatch(
    /^control of yard try does not answer at https:\/\/127\.0\.0\.1:1: .*ECONNREFUSED.*\n→ bin\/up --yard try/,
  );
});

test("an answer that does not come in time is told as such: it may have been done", async () => {
  control.isSilent = true;
  const fault = await faultOf(createClient("main", control.access, { timeoutMs: 200 }).call(api.createCluster));
  control.isSilent = false;
  expect(fault.code).toBe("control.timed-out");
  expect(fault.next).toContain("may have been done");
});

const KEY = {
  fingerprint: "SHA256:x",
  type: "ssh-ed25519",
  comment: "",
  publicKey: "ssh-ed25519 AAAA",
  addedAt: "2026-11-23T09:00:00.000000Z",
};
