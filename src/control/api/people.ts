import { randomBytes } from "node:crypto";
import { Fault } from "#base/fault.ts";
import { OPERATOR, type Person } from "#contract/policy.ts";
import * as people from "../store/people.ts";
import type { Store } from "../store/schema.ts";
import { hashOfToken } from "./caller.ts";
import type { Handler } from "./handler.ts";

export const listPeople: Handler<"listPeople"> = ({ store }) => people.listPeople(store);

export const addPerson: Handler<"addPerson"> = async ({ store, onRowsChanged }, { input: { name, roles } }) => {
  await requireRoles(store, roles);
  const token = newToken();
  await people.insertPerson(store, name, roles, hashOfToken(token));
  await onRowsChanged();
  return { person: await requirePerson(store, name), token };
};

export const changePerson: Handler<"changePerson"> = async ({ store, onRowsChanged }, { params: { person: name }, input: { roles } }) => {
  await requireRoles(store, roles);
  await people.updatePerson(store, name, { roles });
  await onRowsChanged();
  return requirePerson(store, name);
};

export const renewToken: Handler<"renewToken"> = async ({ store, requests }, { params: { person: name } }) => {
  const token = newToken();
  await people.updatePerson(store, name, { tokenHash: hashOfToken(token) });
  requests.cancelAllOf(name);
  return { person: await requirePerson(store, name), token };
};

export const removePerson: Handler<"removePerson"> = async ({ store, requests, onRowsChanged }, { params: { person: name } }) => {
  await people.deletePerson(store, name);
  requests.cancelAllOf(name);
  await onRowsChanged();
  return { name };
};

/** A word that is no role would look like a right and be none. */
async function requireRoles(store: Store, roles: readonly string[]): Promise<void> {
  const known = new Set([OPERATOR, ...(await people.listRules(store)).map(({ role }) => role)]);
  const unknown = roles.find((role) => !known.has(role));
  if (unknown !== undefined)
    throw new Fault("policy.invalid", `no rule is for a role “${unknown}”`, { next: `boxyard policy allow ${unknown} ACTION --on TARGET` });
}

async function requirePerson(store: Store, name: string): Promise<Person> {
  const found = (await people.listPeople(store)).find((person) => person.name === name);
  if (found === undefined) throw new Fault("person.unknown", `there is no person ${name}`, { next: "boxyard person list" });
  return found;
}

function newToken(): string {
  return randomBytes(32).toString("base64url");
}
