import { X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { createAuthority, issueCertificate, type KeyPair } from "#control/authority/authority.ts";
import { openSealed, Recipients, sealTo } from "./sealing.ts";

const SECRET = "password: grüße";

let authority: KeyPair;
let own: KeyPair;
let other: KeyPair;

const issue = (commonName: string, by = authority, validDays = 1): Promise<KeyPair> =>
  issueCertificate(by, { commonName, dnsNames: [commonName], validDays });

const sealed = () => sealTo(new X509Certificate(own.certificatePem).publicKey, SECRET);

beforeAll(async () => {
  authority = await createAuthority("trial");
  [own, other] = await Promise.all([issue("c1b1"), issue("c1b2")]);
});

describe("what is sealed to a server", () => {
  test("is opened by its key, shows nothing of what it says, and is never the same twice", () => {
    const [one, two] = [sealed(), sealed()];
    expect(openSealed(one, own.keyPem)).toBe(SECRET);
    expect(Buffer.from(one.data, "base64url").toString("latin1")).not.toContain("password");
    expect(one.key).not.toBe(two.key);
    expect(one.data).not.toBe(two.data);
  });

  test("cannot be opened by another server's key", () => {
    expect(() => openSealed(sealed(), other.keyPem)).toThrow(/sealed to another key/);
  });

  test.each([
    ["one bit", ({ key, data }: { key: string; data: string }) => ({ key, data: flip(data) })],
    ["its end", ({ key, data }: { key: string; data: string }) => ({ key, data: data.slice(0, -8) })],
    ["the key", ({ data }: { key: string; data: string }) => ({ key: sealed().key, data })],
    ["the key to nonsense", ({ data }: { key: string; data: string }) => ({ key: "AAAA", data })],
    ["all", () => ({ key: "", data: "" })],
  ])("is not opened when somebody has changed %s", (_, change) => {
    expect(() => openSealed(change(sealed()), own.keyPem)).toThrow(expect.objectContaining({ code: "fabric.not-opened" }));
  });
});

describe("a server's certificate", () => {
  test("of the yard's authority tells to which key to seal", () => {
    const key = new Recipients(authority.certificatePem).keyOf("c1b1", own.certificatePem);
    expect(openSealed(sealTo(key, SECRET), own.keyPem)).toBe(SECRET);
  });

  test.each([
    ["of another server", async () => other.certificatePem],
    ["of another yard's authority", async () => (await issue("c1b1", await createAuthority("trial"))).certificatePem],
    ["that has ended", async () => (await issue("c1b1", authority, -0.02)).certificatePem],
    ["that is the authority's own", async () => authority.certificatePem],
    ["of a domain that begins like it", async () => (await issue("c1b1.example.org")).certificatePem],
    ["that is none", async () => "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
    ["that is missing", async () => ""],
  ])("%s does not", async (_, certificate) => {
    const pem = await certificate();
    const refused = expect.objectContaining({ code: "fabric.refused-certificate" });
    expect(() => new Recipients(authority.certificatePem).keyOf("c1b1", pem)).toThrow(refused);
  });
});

function flip(data: string): string {
  const bytes = Buffer.from(data, "base64url");
  bytes[3] = (bytes[3] ?? 0) ^ 1;
  return bytes.toString("base64url");
}
