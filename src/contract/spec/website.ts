import { z } from "zod";
import { Domain } from "../domain.ts";
import { Address, BranchName, CommitId, DatabaseName, EnvironmentLabel, WebsiteId } from "../names.ts";
import { secret } from "../secret.ts";

/** A website's database as an application reaches it. */
export const DatabaseAccess = z.object({
  name: DatabaseName,
  host: Address,
  port: z.int(),
  user: DatabaseName,
  password: secret(z.string()),
});
export type DatabaseAccess = z.infer<typeof DatabaseAccess>;

/** Everything that a box or shell server needs to carry a website. */
export const WebsiteOnServer = z.object({
  id: WebsiteId,
  /** Unix user and group id, the same on every server; the user's name is the website's id. */
  uid: z.int().min(20_001),
  environment: EnvironmentLabel,
  branch: BranchName,
  domains: z.array(Domain),
  databases: z.array(DatabaseAccess),
  /** Addresses and ports of the cluster's memcached servers, in a stable order. */
  memcached: z.array(z.object({ host: Address, port: z.int() })),
  /** Addresses from which requests arrive with X-Forwarded-For (edges and the cluster's caches). */
  trustedProxies: z.array(Address),
  /** Secret of the website for one-time links and the like; the same on every server, never changes. */
  hashSalt: secret(z.string()),
  /** PHP workers of the website on one box. */
  processingUnits: z.int().positive(),
  /** The release that must be live; null before the first deployment. */
  release: CommitId.nullable(),
  /** Higher with each decision about the release; 0 before the first. A switch that asks for a later one is newer than this spec. */
  decision: z.int().nonnegative(),
  /** Releases that went live, the newest first: the server keeps those of them that it has, to go back to. */
  goodReleases: z.array(CommitId).default([]),
});
export type WebsiteOnServer = z.infer<typeof WebsiteOnServer>;

/** Where releases are fetched from: the git server's pack service, reached with mutual TLS. */
export const GitSource = z.object({ server: z.string(), address: Address, port: z.int() });
export type GitSource = z.infer<typeof GitSource>;
