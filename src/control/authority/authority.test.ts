import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createAuthority, expiryOf, issueCertificate } from "./authority.ts";

describe("the yard's authority", () => {
  test("issues certificates that a TLS library verifies, for names and addresses", async () => {
    const authority = await createAuthority("test");
    const issued = await issueCertificate(authority, { commonName: "c1b1", dnsNames: ["c1b1"], addresses: ["10.77.0.12"], validDays: 30 });
    const [ca, certificate] = [new X509Certificate(authority.certificatePem), new X509Certificate(issued.certificatePem)];
    expect(ca.ca).toBe(true);
    expect(certificate.verify(ca.publicKey)).toBe(true);
    expect(certificate.checkIssued(ca)).toBe(true);
    expect(certificate.checkIP("10.77.0.12")).toBe("10.77.0.12");
    expect(certificate.checkHost("c1b1")).toBe("c1b1");
    expect(certificate.checkHost("c1b2")).toBeUndefined();
    expect(certificate.subject).toBe("CN=c1b1");
    expect(expiryOf(issued).getTime()).toBeGreaterThan(Date.now() + 29 * 86_400_000);
  });
});
