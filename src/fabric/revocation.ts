import { Fault } from "#base/fault.ts";
import { type BusOptions, connectBus } from "./connection.ts";
import { credentialsForSystem, encodeYardAccount, type RevokedKey, type YardKeys } from "./identity.ts";

/** Where a broker of accounts is told of a newer one (NATS: "nats-resolver"). */
const UPDATE_SUBJECT = "$SYS.REQ.CLAIMS.UPDATE";
const ANSWER_MS = 5_000;

/**
 * Tells the broker which keys count no more: it closes their connections at once and refuses new ones, also after its own
 * restart. The whole list each time; Fault "fabric.not-revoked" when the broker has not taken it.
 */
export async function announceRevocations(
  bus: Omit<BusOptions, "credentials" | "name" | "onceMs">,
  keys: YardKeys,
  revoked: readonly RevokedKey[],
): Promise<void> {
  const connection = await connectBus({ ...bus, credentials: await credentialsForSystem(keys), name: "system", onceMs: ANSWER_MS });
  try {
    const answer = await connection.request(UPDATE_SUBJECT, await encodeYardAccount(keys, revoked), { timeout: ANSWER_MS });
    const { error } = answer.json() as { error?: { description?: string } };
    if (error !== undefined) throw new Fault("fabric.not-revoked", `the broker refuses the list of revoked keys: ${error.description}`);
  } finally {
    await connection.close();
  }
}
