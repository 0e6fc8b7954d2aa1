import { readFile } from "node:fs/promises";
import { SECRETS_PATH } from "#contract/control-config.ts";
import type { BrokerTrust } from "#contract/spec/broker.ts";
import type { YardKeys } from "#fabric/identity.ts";
import type { KeyPair } from "./authority/authority.ts";

/** What only control servers have; the same on each, but for `server`. */
export interface Secrets {
  readonly authority: KeyPair;
  readonly keys: YardKeys;
  /** What brokers trust, and the password by which they know each other. */
  readonly broker: { readonly trust: BrokerTrust; readonly password: string };
  /** Signs for what control servers alone say to each other: the yard's own authority has signed for every box, too. */
  readonly peers: KeyPair;
  /** Certificate of the control API and of the broker. */
  readonly server: KeyPair;
  /** Served by the edge when no domain matches. */
  readonly defaultWebsite: KeyPair;
  readonly operatorToken: string;
}

/** Reads what setup has made. */
export async function readSecrets(): Promise<Secrets> {
  return JSON.parse(await readFile(SECRETS_PATH, "utf8")) as Secrets;
}
