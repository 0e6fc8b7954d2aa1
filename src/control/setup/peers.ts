import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { issueCertificate, type KeyPair } from "../authority/authority.ts";
import { ensureFiles, type OwnedFile } from "./file.ts";
import { ETCD_KEY, PEER_AUTHORITY, PEER_CERTIFICATE, POSTGRES_KEY, type ReplicaOptions } from "./replica-files.ts";
import { CERTIFICATE_DAYS } from "./secrets.ts";

/** This server has a certificate of its own from the control servers' authority; a new one only when there is none that holds. */
export async function ensurePeerCertificate(peers: KeyPair, { server, address }: ReplicaOptions): Promise<void> {
  if (await holds(peers, { server, address })) return;
  const { certificatePem, keyPem } = await issueCertificate(peers, {
    commonName: server,
    dnsNames: [server],
    addresses: [address, "127.0.0.1"],
    validDays: CERTIFICATE_DAYS,
  });
  // The authority last: with it, this counts as done.
  const files: OwnedFile[] = [
    { path: PEER_CERTIFICATE, content: certificatePem, owner: "root", group: "root", mode: 0o644 },
    { path: POSTGRES_KEY, content: keyPem, owner: "root", group: "postgres", mode: 0o640 },
    { path: ETCD_KEY, content: keyPem, owner: "root", group: "etcd", mode: 0o640 },
  ];
  await ensureFiles(files);
  await ensureFiles([{ path: PEER_AUTHORITY, content: peers.certificatePem, owner: "root", group: "root", mode: 0o644 }]);
}

async function holds(peers: KeyPair, { server, address }: { readonly server: string; readonly address: string }): Promise<boolean> {
  const read = (path: string): Promise<string> => readFile(path, "utf8").catch(() => "");
  if ((await read(PEER_AUTHORITY)) !== peers.certificatePem) return false;
  const certificate = new X509Certificate(await read(PEER_CERTIFICATE));
  return certificate.subject === `CN=${server}` && certificate.checkIP(address) !== undefined;
}
