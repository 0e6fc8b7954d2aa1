import type { Store } from "../store/schema.ts";
import { type Certificate, listExpiringDomains, setCertificate } from "../store/websites.ts";
import { expiryOf, issueCertificate, type KeyPair } from "./authority.ts";

const VALID_DAYS = 365;
const RENEW_DAYS_BEFORE = 30;
const DAY_MS = 86_400_000;

/** A new certificate for a website's domain, signed by the yard's authority. */
export async function certificateFor(authority: KeyPair, domain: string): Promise<Certificate> {
  const issued = await issueCertificate(authority, { commonName: domain, dnsNames: [domain], validDays: VALID_DAYS });
  return { chainPem: issued.certificatePem, keyPem: issued.keyPem, expiresAt: expiryOf(issued) };
}

/** Renews every certificate that ends within 30 days. */
export async function renewCertificates(store: Store, authority: KeyPair): Promise<void> {
  const before = new Date(Date.now() + RENEW_DAYS_BEFORE * DAY_MS);
  for (const name of await listExpiringDomains(store, before)) await setCertificate(store, name, await certificateFor(authority, name));
}
