import { z } from "zod";
import { BranchName, CommitId, EnvironmentLabel, ServerName, WebsiteId } from "../names.ts";
import { secret } from "../secret.ts";
import { LimitsInSpec } from "../work-settings.ts";

/** The git server: sshd for pushes, a bare repository per website, the pack service for the servers that carry it. */
export const GitSpec = z.object({
  /** OpenSSH private key of the server's host key. */
  hostKey: secret(z.string()),
  packPort: z.int(),
  /** What a pushed Boxfile may ask for. */
  limits: LimitsInSpec,
  websites: z.array(
    z.object({
      id: WebsiteId,
      uid: z.int(),
      /** The branch that deploys; others are stored only. */
      branch: BranchName,
      environment: EnvironmentLabel,
      authorizedKeys: z.array(z.string()),
      /** Servers that may fetch from this repository. */
      readers: z.array(ServerName),
      /** The server that builds releases of it, and may bring them; null when none does. */
      builder: ServerName.nullable().default(null),
      /** The live release; its commit is never pruned. */
      release: CommitId.nullable(),
      /** Releases that it may go back to without building them again, the newest first. */
      goodReleases: z.array(CommitId).default([]),
    }),
  ),
});
export type GitSpec = z.infer<typeof GitSpec>;
