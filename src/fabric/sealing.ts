import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  X509Certificate,
} from "node:crypto";
import { Fault } from "#base/fault.ts";
import type { Sealed } from "#contract/envelope.ts";
import type { ServerName } from "#contract/names.ts";

const CURVE = "P-256";
const CIPHER = "aes-256-gcm";
const TAG_BYTES = 16;

/** Seals a text to the key of a server's certificate: an ephemeral key for each text, ECDH, HKDF and AES-256-GCM. */
export function sealTo(publicKey: KeyObject, text: string): Sealed {
  const ephemeral = generateKeyPairSync("ec", { namedCurve: CURVE });
  const secret = diffieHellman({ privateKey: ephemeral.privateKey, publicKey });
  const cipher = createCipheriv(CIPHER, ...keyAndNonce(secret, ephemeral.publicKey, publicKey));
  const data = Buffer.concat([cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
  return { key: spki(ephemeral.publicKey).toString("base64url"), data: data.toString("base64url") };
}

/** Opens what was sealed to a server. Fault "fabric.not-opened" when it was sealed to another key, or changed since. */
export function openSealed({ key, data }: Sealed, keyPem: string): string {
  try {
    const privateKey = createPrivateKey(keyPem);
    const ephemeral = createPublicKey({ key: Buffer.from(key, "base64url"), format: "der", type: "spki" });
    const bytes = Buffer.from(data, "base64url");
    const secret = diffieHellman({ privateKey, publicKey: ephemeral });
    const decipher = createDecipheriv(CIPHER, ...keyAndNonce(secret, ephemeral, createPublicKey(privateKey)));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(bytes.subarray(0, -TAG_BYTES)), decipher.final()]).toString("utf8");
  } catch (cause) {
    throw new Fault("fabric.not-opened", "it is sealed to another key than this server's", {
      cause,
      next: "boxyard server readmit NAME gives the server a new certificate",
    });
  }
}

/** Tells whether a certificate is a server's: to its key, and to no other, is sealed what is meant for that server. */
export class Recipients {
  readonly #authority: X509Certificate;

  constructor(caPem: string) {
    this.#authority = new X509Certificate(caPem);
  }

  /** The key of a certificate that the yard's authority has issued to this server. Fault "fabric.refused-certificate". */
  keyOf(server: ServerName, certificatePem: string): KeyObject {
    const certificate = parse(certificatePem);
    const isIssued = certificate?.checkIssued(this.#authority) && certificate.verify(this.#authority.publicKey);
    if (!certificate || !isIssued || certificate.subject !== `CN=${server}` || Date.parse(certificate.validTo) < Date.now())
      throw new Fault("fabric.refused-certificate", `${server} shows no valid certificate of its own`);
    return certificate.publicKey;
  }
}

function parse(certificatePem: string): X509Certificate | null {
  try {
    return new X509Certificate(certificatePem);
  } catch {
    return null;
  }
}

/** Both keys are part of it, so that a text is bound to whom it was sealed to; each secret is used once, hence the nonce may follow from it. */
function keyAndNonce(secret: Buffer, ephemeral: KeyObject, recipient: KeyObject): [key: Buffer, nonce: Buffer, { authTagLength: number }] {
  const derived = Buffer.from(hkdfSync("sha256", secret, Buffer.concat([spki(ephemeral), spki(recipient)]), "boxyard sealed", 44));
  return [derived.subarray(0, 32), derived.subarray(32), { authTagLength: TAG_BYTES }];
}

function spki(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}
