import { z } from "zod";
import { action } from "../action.ts";

/** First step of new credentials for the bus: the server makes a key of its own, which never leaves it; the same until it is taken. */
export const makeBusKey = action("credentials.make", {
  summary: "Make a new key for the bus; the old one goes on being used",
  input: z.object({}),
  output: z.object({ publicKey: z.string().regex(/^U[A-Z2-7]{55}$/), current: z.string().regex(/^U[A-Z2-7]{55}$/) }),
  timeoutMs: 5_000,
  idempotent: true,
  faults: [],
});

/**
 * Second step: the server connects with the new key beside the old connection, keeps it, finishes what it was asked over the
 * old one, and answers when that is not needed any more.
 */
export const takeBusKey = action("credentials.take", {
  summary: "Change to the new key without a gap",
  input: z.object({ jwt: z.string().max(20_000) }),
  output: z.object({ publicKey: z.string() }),
  timeoutMs: 60_000,
  idempotent: false,
  faults: ["credentials.unknown"],
});
