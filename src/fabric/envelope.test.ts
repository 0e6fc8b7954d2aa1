import { generateKeyPairSync } from "node:crypto";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Signer, Verifier } from "./envelope.ts";
import { Terms } from "./terms.ts";

const pair = () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return {
    privatePem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicPem: publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
};
const keys = pair();
const request = { id: "r1", target: "c1b1", action: "server.ping", body: { a: 1 }, caller: "control", validMs: 1_000 };
const signer = new Signer("trial", keys.privatePem);
let verifier: Verifier;

beforeEach(() => {
  verifier = new Verifier("trial", "c1b1", keys.publicPem);
});
afterEach(() => vi.restoreAllMocks());

describe("an envelope", () => {
  test("gives back what was sealed, and whom it comes from", () => {
    expect(verifier.open(signer.seal(request), "server.ping")).toMatchObject({
      id: "r1",
      body: { a: 1 },
      caller: "control",
      yard: "trial",
    });
  });

  test("is opened once; a spec, which has no end, as often as it is read", () => {
    const sealed = signer.seal(request);
    verifier.open(sealed, "server.ping");
    expect(() => verifier.open(sealed, "server.ping")).toThrow(expect.objectContaining({ code: "fabric.refused-replayed" }));
    const { validMs: _, ...spec } = { ...request, action: "spec" };
    const sealedSpec = signer.seal(spec);
    verifier.open(sealedSpec, "spec");
    expect(verifier.open(sealedSpec, "spec").body).toEqual({ a: 1 });
  });

  test.each([
    ["none", () => ""],
    ["a part of it", (whole: Buffer) => whole.subarray(0, 63).toString("base64url")],
    ["more than it", (whole: Buffer) => Buffer.concat([whole, whole]).toString("base64url")],
    ["one bit of it changed", (whole: Buffer) => whole.fill((whole[63] ?? 0) ^ 1, 63).toString("base64url")],
    ["nothing that is base64", () => "\u0000§"],
  ])("is refused when its signature is %s", (_, damage) => {
    const { payload, signature } = JSON.parse(signer.seal(request)) as { payload: string; signature: string };
    const damaged = JSON.stringify({ payload, signature: damage(Buffer.from(signature, "base64url")) });
    expect(() => verifier.open(damaged, "server.ping")).toThrow(expect.objectContaining({ code: "fabric.refused-signature" }));
  });

  test("of an earlier term than one that the server has heard is refused, after the agent's restart as well", async () => {
    const path = join(await mkdtemp(join(tmpdir(), "boxyard-terms-")), "term");
    const terms = new Terms(path);
    const inTerm = (term: number): string => new Signer("trial", keys.privatePem, term).seal({ ...request, id: `term-${term}` });
    const before = new Verifier("trial", "c1b1", keys.publicPem, terms);
    expect(before.open(inTerm(7), "server.ping").term).toBe(7);
    expect(() => before.open(inTerm(6), "server.ping")).toThrow(expect.objectContaining({ code: "fabric.refused-term" }));
    before.open(inTerm(8), "server.ping");
    await terms.settled();
    const after = new Verifier("trial", "c1b1", keys.publicPem, new Terms(path));
    expect(() => after.open(inTerm(7), "server.ping")).toThrow(expect.objectContaining({ code: "fabric.refused-term" }));
    expect(after.open(inTerm(8), "server.ping").term).toBe(8);
  });

  test("for all is opened by each server once, and only when it says who is meant", () => {
    const sealed = signer.seal({ ...request, target: "*", select: { kind: "all" } });
    expect(verifier.open(sealed, "server.ping").select).toEqual({ kind: "all" });
    expect(() => verifier.open(sealed, "server.ping")).toThrow(expect.objectContaining({ code: "fabric.refused-replayed" }));
    expect(() => verifier.open(signer.seal({ ...request, id: "r2", target: "*" }), "server.ping")).toThrow(
      expect.objectContaining({ code: "fabric.refused-target" }),
    );
  });

  test.each([
    { what: "for another server", sealed: () => signer.seal({ ...request, target: "c1b2" }), code: "fabric.refused-target" },
    { what: "for another action", sealed: () => signer.seal({ ...request, action: "release.switch" }), code: "fabric.refused-target" },
    { what: "of another yard", sealed: () => new Signer("other", keys.privatePem).seal(request), code: "fabric.refused-target" },
    { what: "of a stranger", sealed: () => new Signer("trial", pair().privatePem).seal(request), code: "fabric.refused-signature" },
    { what: "changed on the way", sealed: () => signer.seal(request).replace("control", "contro1"), code: "fabric.refused-signature" },
    { what: "without a signature", sealed: () => JSON.stringify({ payload: "{}", signature: "" }), code: "fabric.refused-signature" },
    { what: "that is none", sealed: () => "hello", code: "fabric.malformed" },
    { what: "that is JSON of another kind", sealed: () => "[1]", code: "fabric.malformed" },
  ])("$what is refused", ({ sealed, code }) => {
    expect(() => verifier.open(sealed(), "server.ping")).toThrow(expect.objectContaining({ code }));
  });

  test("from the future is refused: a server whose clock is behind cannot judge it", () => {
    const sealed = signer.seal(request);
    const now = Date.now();
    vi.spyOn(Date, "now").mockReturnValue(now - 300_000);
    expect(() => verifier.open(sealed, "server.ping")).toThrow(
      expect.objectContaining({ code: "fabric.refused-early", message: expect.stringContaining("300 s in the future") }),
    );
  });

  test("is refused when it has expired by more than clocks may differ, and not before", () => {
    const [early, late] = [signer.seal(request), signer.seal({ ...request, id: "r2" })];
    const now = Date.now();
    vi.spyOn(Date, "now").mockReturnValue(now + 5_500);
    expect(verifier.open(early, "server.ping").id).toBe("r1");
    vi.spyOn(Date, "now").mockReturnValue(now + 6_500);
    expect(() => verifier.open(late, "server.ping")).toThrow(expect.objectContaining({ code: "fabric.refused-expired" }));
  });
});
