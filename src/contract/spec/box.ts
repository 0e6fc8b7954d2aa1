import { z } from "zod";
import { Address, ClusterId } from "../names.ts";
import { GitSource, WebsiteOnServer } from "./website.ts";

/** An application server of a cluster: Apache and a PHP-FPM pool per website. */
export const BoxSpec = z.object({
  cluster: ClusterId,
  git: GitSource,
  /** Cache servers of the cluster: visitors' requests come from them alone. */
  caches: z.array(Address),
  websites: z.array(WebsiteOnServer),
});
export type BoxSpec = z.infer<typeof BoxSpec>;
