import { access, constants } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { buildEnvironment } from "./environment.ts";

const RELEASE = "a".repeat(40);
const programs = join(import.meta.dirname, "bin");

test("a build knows its environment and its release, and has its programs and caches in what is kept", () => {
  expect(buildEnvironment({ environment: "staging" }, RELEASE)).toEqual([
    "HOME=/srv/build/home",
    "USER=builder",
    `PATH=/srv/build/home/.npm-global/bin:${programs}:${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
    "LANG=C.UTF-8",
    "CI=1",
    "COMPOSER_NO_INTERACTION=1",
    "npm_config_cache=/srv/build/home/.npm",
    "npm_config_globalconfig=/etc/boxyard/npmrc",
    "npm_config_prefix=/srv/build/home/.npm-global",
    "npm_config_update_notifier=false",
    "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt",
    "BOXYARD_ENVIRONMENT=staging",
    `BOXYARD_RELEASE=${RELEASE}`,
  ]);
});

test("the npm and npx that a build finds can be run", async () => {
  for (const name of ["npm", "npx"]) await access(join(programs, name), constants.X_OK);
});
