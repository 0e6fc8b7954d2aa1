import { readFile } from "node:fs/promises";
import { Fault } from "#base/fault.ts";

/** One line of /etc/passwd. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** One line of /etc/group. */
export interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** The account of this name, or null. */
export async function findAccount(name: string): Promise<Account | null> {
  const fields = await findLine("/etc/passwd", name);
  if (fields === null) return null;
  const [, , uid, gid, , home = "", shell = ""] = fields;
  return { name, uid: Number(uid), gid: Number(gid), home, shell };
}

/** The group of this name, or null. */
export async function findGroup(name: string): Promise<Group | null> {
  const fields = await findLine("/etc/group", name);
  return fields === null ? null : { name, gid: Number(fields[2]), members: (fields[3] ?? "").split(",").filter((member) => member !== "") };
}

/** Numeric ids of an owner and a group; root, and the owner's own group, by default. */
export async function accountIds(owner: string | undefined, group: string | undefined): Promise<{ uid: number; gid: number }> {
  const account = owner === undefined ? { uid: 0, gid: 0 } : await findAccount(owner);
  if (account === null) throw new Fault("converge.no-account", `there is no account ${owner}`);
  if (group === undefined) return { uid: account.uid, gid: account.gid };
  const found = await findGroup(group);
  if (found === null) throw new Fault("converge.no-group", `there is no group ${group}`);
  return { uid: account.uid, gid: found.gid };
}

async function findLine(path: string, name: string): Promise<string[] | null> {
  const text = await readFile(path, "utf8");
  return (
    text
      .split("\n")
      .map((line) => line.split(":"))
      .find((fields) => fields[0] === name) ?? null
  );
}
