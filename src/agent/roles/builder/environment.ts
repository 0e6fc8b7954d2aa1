import { dirname, join } from "node:path";
import type { CommitId } from "#contract/names.ts";
import type { BuilderSpec } from "#contract/spec/builder.ts";
import { BUILDER } from "./workshop.ts";

/** Kept from build to build of the website; the rest of a builder is thrown away. */
export const CACHE = "/srv/build";

/** The account's home, and so the place of all caches. */
export const HOME = `${CACHE}/home`;

/** What the operator says to npm. */
export const NPMRC = "/etc/boxyard/npmrc";

/** The variables of a build: Composer, Node and npm with their caches in what is kept, and what the operator says of packages. */
export function buildEnvironment({ environment }: Pick<BuilderSpec, "environment">, commit: CommitId): string[] {
  const global = `${HOME}/.npm-global`;
  const npm = join(import.meta.dirname, "bin");
  const node = dirname(process.execPath);
  return [
    `HOME=${HOME}`,
    `USER=${BUILDER.name}`,
    `PATH=${[`${global}/bin`, npm, node, "/usr/local/bin", "/usr/bin", "/bin"].join(":")}`,
    "LANG=C.UTF-8",
    "CI=1",
    "COMPOSER_NO_INTERACTION=1",
    `npm_config_cache=${HOME}/.npm`,
    `npm_config_globalconfig=${NPMRC}`,
    `npm_config_prefix=${global}`,
    "npm_config_update_notifier=false",
    // Node has a list of its own; this one has what the operator adds, too.
    "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt",
    `BOXYARD_ENVIRONMENT=${environment}`,
    `BOXYARD_RELEASE=${commit}`,
  ];
}
