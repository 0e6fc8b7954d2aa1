import { z } from "zod";

/** A yard's name: part of project, bridge and file names, hence short. */
export const YardName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,10}[a-z0-9]$|^[a-z]$/, "a yard's name is 1–12 characters: a–z, 0–9, -, starting with a letter");

/** A server's name, also its host name: `control1`, `c42b1`. */
export const ServerName = z.string().regex(/^[a-z][a-z0-9]{0,30}$/, "a server's name is letters a–z and digits");
export type ServerName = z.infer<typeof ServerName>;

/** A cluster's id: `c42`. */
export const ClusterId = z.string().regex(/^c[1-9][0-9]{0,5}$/, "a cluster's id is c and a number, for example c42");
export type ClusterId = z.infer<typeof ClusterId>;

/** A website's id, also its Unix user and its repository: `s123`. */
export const WebsiteId = z.string().regex(/^s[1-9][0-9]{0,5}$/, "a website's id is s and a number, for example s123");
export type WebsiteId = z.infer<typeof WebsiteId>;

/** A database's name, also its user's: `db123`. */
export const DatabaseName = z.string().regex(/^db[1-9][0-9]{0,5}$/);

/** What a server can be; see product.md. */
export const Role = z.enum(["control", "edge", "cache", "box", "shell", "git", "database", "builder", "broker"]);
export type Role = z.infer<typeof Role>;

/** A Git commit; a release is named by the commit that it holds. */
export const CommitId = z.string().regex(/^[0-9a-f]{40}$/, "a commit is 40 hexadecimal digits");
export type CommitId = z.infer<typeof CommitId>;

/** An IPv4 address of a yard's bridge. */
export const Address = z.ipv4();

/** An environment label of a website, which chooses its environment-specific files: `production`, `test`. */
export const EnvironmentLabel = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{0,31}$/, "an environment label is 1–32 characters: a–z, 0–9, _ and -, starting with a letter");

/** A branch that Git itself would accept as refs/heads/…, in the narrow form that is safe in configuration. */
export const BranchName = z
  .string()
  .max(100)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]*$/, "a branch name has letters, digits, . _ / and -, and starts with a letter or digit")
  .refine((name) => !/\.\.|\/\/|\.$|\/$|\.lock($|\/)|\/\./.test(name), "not a branch name that Git accepts");

/** A moment as RFC 3339 in UTC, with up to six decimals. */
export const Timestamp = z.iso.datetime({ precision: 6 });
export type Timestamp = z.infer<typeof Timestamp>;

/** The number in an id: 42 of `c42`, `s42`, `db42`. */
export function numberOf(id: string): number {
  return Number(id.replace(/^[a-z]+/, ""));
}
