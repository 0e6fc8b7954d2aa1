import { z } from "zod";
import { EnvironmentLabel, WebsiteId } from "../names.ts";
import { LimitsInSpec, NO_SOURCES, PackageSources } from "../work-settings.ts";
import { GitSource } from "./website.ts";

/** A throw-away server in which one website's releases are built: it reaches the git server and what is outside of the yard. */
export const BuilderSpec = z.object({
  git: GitSource,
  website: WebsiteId,
  environment: EnvironmentLabel,
  /** The yard's network, which builds do not reach. */
  network: z.cidrv4(),
  limits: LimitsInSpec,
  packages: PackageSources.default(NO_SOURCES),
});
export type BuilderSpec = z.infer<typeof BuilderSpec>;
