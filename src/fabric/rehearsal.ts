import { generateKeyPairSync, randomUUID } from "node:crypto";
import { setImmediate as otherWork, setTimeout as sleep } from "node:timers/promises";
import type { Msg } from "@nats-io/transport-node";
import type { Action } from "#contract/action.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import { OPERATOR } from "#contract/policy.ts";
import { Signer, Verifier } from "./envelope.ts";
import { subjects } from "./subjects.ts";

/** After so often V8 has compiled what a request goes through, instead of interpreting it. */
const ROUNDS = 60;
/** After so often it has done so well, and has nothing left to compile beside requests: a server is asked too rarely to get there by itself. */
const LATER_ROUNDS = 840;
const LATER_AT_ONCE = 20;
const PAUSE_MS = 1_000;
const VALID_MS = 10_000;

export interface Rehearsed {
  readonly action: Action;
  readonly input: unknown;
  /** Carries out what the message says, if this verifier lets it. */
  readonly serve: (message: Msg, verifier: Verifier) => Promise<void>;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/**
 * Lets a process answer itself some requests, so that the first real one does not wait for what is only compiled when it is
 * used: that takes tens of milliseconds, and a thousand servers asked for the first time take them all at once. Some rounds
 * come at once, the others over most of a minute, in which they take half a percent of a core. Nothing is sent. Its messages
 * are signed by a key that is made here, known to nobody, and good for the verifier made here alone.
 */
export async function rehearse({ yard, server }: Enrolment, { action, input, serve, signal }: Rehearsed): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const signer = new Signer(yard, privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  const verifier = new Verifier(yard, server, publicKey.export({ type: "spki", format: "pem" }).toString());
  const common = { target: "*", action: action.name, body: input, caller: OPERATOR, select: { kind: "all" as const }, validMs: VALID_MS };
  const once = async (): Promise<void> => {
    const text = signer.seal({ id: randomUUID(), ...common });
    await serve(messageOf(subjects.request(server, action.name), text), verifier);
    await otherWork();
  };
  for (let round = 0; round < ROUNDS; round++) await once();
  for (let round = 0; round < LATER_ROUNDS && !signal.aborted; round++) {
    await once();
    if (round % LATER_AT_ONCE === 0) await sleep(PAUSE_MS, undefined, { signal, ref: false }).catch(() => undefined);
  }
}

/** As the bus would bring it, with nobody to answer to. */
function messageOf(subject: string, text: string): Msg {
  const data = new TextEncoder().encode(text);
  return {
    subject,
    sid: 0,
    data,
    respond: () => true,
    string: () => new TextDecoder().decode(data),
    json: () => JSON.parse(text),
  };
}
