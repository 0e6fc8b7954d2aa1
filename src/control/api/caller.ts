import { createHash, timingSafeEqual } from "node:crypto";
import { OPERATOR } from "#contract/policy.ts";
import type { Caller } from "../requests/run.ts";
import { findPersonByToken } from "../store/people.ts";
import type { ApiContext } from "./context.ts";

/** Whose token an authorization header carries; null when it is nobody's. */
export async function callerOf({ secrets, store }: ApiContext, header: string | undefined): Promise<Caller | null> {
  const token = /^Bearer (\S{1,200})$/.exec(header ?? "")?.[1];
  if (token === undefined) return null;
  if (timingSafeEqual(digest(token), digest(secrets.operatorToken))) return { name: OPERATOR, isOperator: true };
  const person = await findPersonByToken(store, hashOfToken(token));
  return person === null ? null : { name: person.name, isOperator: person.roles.includes(OPERATOR) };
}

/** Under which a token is kept: who reads the rows must not be able to use it. */
export function hashOfToken(token: string): string {
  return digest(token).toString("hex");
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
