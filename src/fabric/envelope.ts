import { createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import sodium from "sodium-native";
import { microsOf, nowMicros, timestamp, timestampOf } from "#base/clock.ts";
import { Fault } from "#base/fault.ts";
import { type Envelope, SignedPayload } from "#contract/envelope.ts";
import type { Target } from "#contract/target.ts";
import { Terms } from "./terms.ts";

/** Clocks of one yard may differ by this much before a request counts as expired. */
const CLOCK_TOLERANCE_MICROS = 5_000_000;
const REMEMBERED_IDS = 100_000;

export interface Message {
  readonly id: string;
  readonly target: string;
  readonly action: string;
  readonly body: unknown;
  readonly caller: string;
  readonly select?: Target | undefined;
  /** How long it may be acted on; for ever when absent. */
  readonly validMs?: number;
}

/** Signs messages for one yard, in the name of one term of control. */
export class Signer {
  readonly #key: KeyObject;
  readonly #yard: string;
  readonly #term: number;

  constructor(yard: string, privatePem: string, term = 0) {
    this.#yard = yard;
    this.#key = createPrivateKey(privatePem);
    this.#term = term;
  }

  /** The envelope as it goes over the wire. */
  seal({ validMs, ...message }: Message): string {
    const expiry = validMs === undefined ? {} : { expiresAt: timestampOf(nowMicros() + validMs * 1000) };
    const [yard, term] = [this.#yard, this.#term];
    const payload = JSON.stringify({ ...message, yard, term, issuedAt: timestamp(), ...expiry } satisfies SignedPayload);
    return JSON.stringify({ payload, signature: sign(null, Buffer.from(payload), this.#key).toString("base64url") } satisfies Envelope);
  }
}

/** Opens envelopes that are meant for one server, and refuses all others with the reason. */
export class Verifier {
  /** The 32 bytes of the signer's public key. */
  readonly #key: Buffer;
  readonly #yard: string;
  readonly #server: string;
  /** Ids of requests with the moment until which they must be remembered. */
  readonly #seen = new Map<string, number>();
  readonly #terms: Terms;

  constructor(yard: string, server: string, publicPem: string, terms: Terms = new Terms()) {
    this.#yard = yard;
    this.#server = server;
    this.#key = rawKey(publicPem);
    this.#terms = terms;
  }

  /** The payload of a genuine envelope for this server and action. Faults: fabric.malformed, fabric.refused-{signature,target,term,early,expired,replayed}. */
  open(text: string, action: string): SignedPayload {
    const payload = this.#verify(text);
    const isForThis = payload.target === this.#server || (payload.target === "*" && payload.select !== undefined);
    if (payload.yard !== this.#yard || !isForThis || payload.action !== action) {
      throw new Fault("fabric.refused-target", `a message for ${payload.yard}/${payload.target} ${payload.action} is not for this server`);
    }
    this.#terms.refuseEarlier(payload.term);
    if (payload.expiresAt !== undefined) this.#refuseOldAndRepeated(payload, microsOf(payload.expiresAt));
    return payload;
  }

  #verify(text: string): SignedPayload {
    const envelope = parseJson(text);
    if (!isEnvelope(envelope)) throw new Fault("fabric.malformed", "not an envelope");
    const { payload, signature } = envelope;
    if (!this.#isSigned(Buffer.from(payload), Buffer.from(signature, "base64url"))) {
      throw new Fault("fabric.refused-signature", "the signature is not the control plane's");
    }
    return SignedPayload.parse(JSON.parse(payload));
  }

  /** By libsodium, which takes half of OpenSSL's time for what is done with every message (ADR 12). */
  #isSigned(payload: Buffer, signature: Buffer): boolean {
    return signature.length === sodium.crypto_sign_BYTES && sodium.crypto_sign_verify_detached(signature, payload, this.#key);
  }

  #refuseOldAndRepeated({ id, issuedAt }: SignedPayload, expiresAtMicros: number): void {
    const now = nowMicros();
    const aheadMicros = microsOf(issuedAt) - now;
    if (aheadMicros > CLOCK_TOLERANCE_MICROS)
      throw new Fault(
        "fabric.refused-early",
        `the request was signed ${Math.round(aheadMicros / 1e6)} s in the future of this server's clock`,
        {
          next: "set the server's clock",
        },
      );
    if (expiresAtMicros + CLOCK_TOLERANCE_MICROS < now) {
      throw new Fault("fabric.refused-expired", `the request expired ${Math.round((now - expiresAtMicros) / 1e6)} s ago`, {
        next: "if it was sent just now, compare the servers' clocks",
      });
    }
    if (this.#seen.has(id)) throw new Fault("fabric.refused-replayed", `request ${id} was here before`);
    this.#seen.set(id, expiresAtMicros + CLOCK_TOLERANCE_MICROS);
    if (this.#seen.size > REMEMBERED_IDS / 10) this.#forgetExpired(now);
  }

  #forgetExpired(now: number): void {
    for (const [id, until] of this.#seen) if (until < now || this.#seen.size > REMEMBERED_IDS) this.#seen.delete(id);
  }
}

/** Throws when it is no Ed25519 key. */
function rawKey(publicPem: string): Buffer {
  const { crv, x = "" } = createPublicKey(publicPem).export({ format: "jwk" });
  if (crv !== "Ed25519") throw new Error(`the signer's key is ${crv}, not Ed25519`);
  return Buffer.from(x, "base64url");
}

/** Two texts and nothing else that is looked at: checked by hand, since every message that anybody sends comes here. */
function isEnvelope(value: unknown): value is Envelope {
  if (typeof value !== "object" || value === null) return false;
  const { payload, signature } = value as Partial<Envelope>;
  return typeof payload === "string" && typeof signature === "string";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
