import { z } from "zod";
import { ClusterId } from "../names.ts";
import { secret } from "../secret.ts";
import { LimitsInSpec } from "../work-settings.ts";
import { GitSource, WebsiteOnServer } from "./website.ts";

/** A cluster's shell server: SSH, SFTP and cron with the websites' own accounts. */
export const ShellSpec = z.object({
  cluster: ClusterId,
  git: GitSource,
  /** OpenSSH private key of the server's host key. */
  hostKey: secret(z.string()),
  /** Of hooks. */
  limits: LimitsInSpec,
  websites: z.array(WebsiteOnServer.extend({ authorizedKeys: z.array(z.string()) })),
});
export type ShellSpec = z.infer<typeof ShellSpec>;
