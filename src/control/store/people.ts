import { Fault } from "#base/fault.ts";
import { type Grant, OPERATOR, type Person, type Policy, type Rule } from "#contract/policy.ts";
import type { Target } from "#contract/target.ts";
import { violates } from "./open.ts";
import type { Store } from "./schema.ts";

/** Everyone but the operator that bin/up makes, by name. */
export async function listPeople(store: Store): Promise<Person[]> {
  const rows = await store.selectFrom("person").select(["name", "roles", "added_at"]).orderBy("name").execute();
  return rows.map(({ name, roles, added_at }) => ({ name, roles: [...roles], addedAt: added_at.toISOString() }));
}

/** Whose token has this hash; null when nobody's. */
export async function findPersonByToken(store: Store, tokenHash: string): Promise<Pick<Person, "name" | "roles"> | null> {
  const found = await store.selectFrom("person").select(["name", "roles"]).where("token_hash", "=", tokenHash).executeTakeFirst();
  return found ?? null;
}

/** Fault "person.known" when there is one of this name. */
export async function insertPerson(store: Store, name: string, roles: readonly string[], tokenHash: string): Promise<void> {
  await store
    .insertInto("person")
    .values({ name, roles: JSON.stringify(roles), token_hash: tokenHash })
    .execute()
    .catch((thrown: unknown) => {
      if (!violates(thrown, "person_known")) throw thrown;
      throw new Fault("person.known", `there is a ${name} already`, { next: `boxyard person set ${name} --role …` });
    });
}

/** Changes roles or token; Fault "person.unknown". */
export async function updatePerson(
  store: Store,
  name: string,
  change: { roles: readonly string[] } | { tokenHash: string },
): Promise<void> {
  const set = "roles" in change ? { roles: JSON.stringify(change.roles) } : { token_hash: change.tokenHash };
  const { numUpdatedRows } = await store.updateTable("person").set(set).where("name", "=", name).executeTakeFirst();
  if (numUpdatedRows === 0n) throw unknownPerson(name);
}

/** Fault "person.unknown". */
export async function deletePerson(store: Store, name: string): Promise<void> {
  const { numDeletedRows } = await store.deleteFrom("person").where("name", "=", name).executeTakeFirst();
  if (numDeletedRows === 0n) throw unknownPerson(name);
}

export async function listRules(store: Store): Promise<Rule[]> {
  const rows = await store.selectFrom("policy_rule").select(["number", "role", "actions", "target"]).orderBy("number").execute();
  return rows.map((row) => ({ ...row, actions: [...row.actions] }));
}

export async function insertRule(store: Store, rule: Omit<Rule, "number">, parsed: Target): Promise<Rule> {
  const { number } = await store
    .insertInto("policy_rule")
    .values({ ...rule, actions: JSON.stringify(rule.actions), parsed_target: JSON.stringify(parsed) })
    .returning("number")
    .executeTakeFirstOrThrow();
  return { number, ...rule };
}

/** Fault "policy.unknown". */
export async function deleteRule(store: Store, number: number): Promise<void> {
  const { numDeletedRows } = await store.deleteFrom("policy_rule").where("number", "=", number).executeTakeFirst();
  if (numDeletedRows === 0n) throw new Fault("policy.unknown", `there is no rule ${number}`, { next: "boxyard policy list" });
}

/** Who may ask for what, in a fixed order. */
export async function readPolicy(store: Store): Promise<Policy> {
  const [people, rules] = await Promise.all([
    listPeople(store),
    store.selectFrom("policy_rule").select(["role", "actions", "parsed_target"]).orderBy("number").execute(),
  ]);
  const grantsOf = (roles: readonly string[]): Grant[] => {
    if (roles.includes(OPERATOR)) return [{ actions: ["*"], target: { kind: "all" } }];
    return rules
      .filter(({ role }) => roles.includes(role))
      .map(({ actions, parsed_target: target }) => ({ actions: [...actions], target }));
  };
  return Object.fromEntries(people.map(({ name, roles }) => [name, grantsOf(roles)]));
}

function unknownPerson(name: string): Fault {
  return new Fault("person.unknown", `there is no person ${name}`, { next: "boxyard person list" });
}
