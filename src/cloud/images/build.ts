import { chmod, mkdir, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Fault, isFault } from "#base/fault.ts";
import { run } from "#base/run.ts";
import { customizations, type Recipe, recipeHash } from "./recipe.ts";
import { findMirrors, packageSources } from "./sources.ts";

/** For each of a build's two long commands. */
export const BUILD_LIMIT_MS = 30 * 60_000;
/** Ends a build whose bin/up is gone, and with it whatever it has mounted. */
const ENDS_WITH_US = ["setpriv", "--pdeathsig", "TERM", "unshare", "--mount"] as const;

/** Builds the recipe's image into this directory: rootfs.tar.zst and metadata.tar. */
export async function buildImage(recipe: Recipe, directory: string): Promise<void> {
  try {
    await buildRootfs(recipe, directory);
    await buildMetadata(recipe, directory);
  } catch (cause) {
    throw buildFault(recipe, cause);
  }
}

/** A mirror without security updates is named: no image is built without them. */
function buildFault({ updateSuites }: Recipe, cause: unknown): Fault {
  const said = isFault(cause, "run.failed") ? String(cause.details["stderr"]) + String(cause.details["stdout"]) : "";
  const missing = Object.values(updateSuites).find((suite) => said.includes(`${suite} Release' does not have a Release file`));
  if (missing !== undefined)
    return new Fault("image.no-updates", `cannot build the server image: this machine's mirror has no ${missing}`, {
      next: `in /etc/apt, name a mirror that has ${missing}, then run bin/up again`,
    });
  return new Fault("image.build-failed", "cannot build the server image", {
    cause,
    next: "see whether the machine reaches Debian's packages (apt-get update), then run bin/up again",
  });
}

/** All that it needs meanwhile lies in the directory, too: removing that removes all of a killed build. */
async function buildRootfs(recipe: Recipe, directory: string): Promise<void> {
  const [overlay, temporary, tar] = [join(directory, "overlay"), join(directory, "temporary"), join(directory, "rootfs.tar")];
  // apt fetches packages as an account of its own.
  await chmod(directory, 0o755);
  await mkdir(temporary);
  for (const [path, content] of Object.entries(recipe.files)) {
    await mkdir(join(overlay, dirname(path)), { recursive: true });
    await writeFile(join(overlay, path), content);
  }
  await run(["chmod", "-R", "u=rwX,go=rX", overlay]);
  await run(
    [
      ...ENDS_WITH_US,
      "mmdebstrap",
      "--variant=minbase",
      `--include=${recipe.packages.join(",")}`,
      ...["man", "doc", "locale", "info"].map((part) => `--dpkgopt=path-exclude=/usr/share/${part}/*`),
      `--customize-hook=sync-in ${overlay} /`,
      ...customizations(recipe).map((command) => `--customize-hook=${command}`),
      ...(await keyring()),
      recipe.suite,
      tar,
      ...packageSources(recipe, await findMirrors()),
    ],
    { timeoutMs: BUILD_LIMIT_MS, environment: { TMPDIR: temporary } },
  );
  await run(["zstd", "-q", "-1", "-T0", "--rm", "-f", tar, "-o", `${tar}.zst`], { timeoutMs: BUILD_LIMIT_MS });
  for (const path of [overlay, temporary]) await rm(path, { recursive: true });
}

async function buildMetadata(recipe: Recipe, directory: string): Promise<void> {
  const text = [
    "architecture: x86_64",
    `creation_date: ${Math.floor(Date.now() / 1000)}`,
    `properties: { os: debian, release: ${recipe.suite}, description: Boxyard server ${recipeHash(recipe)} }`,
    "",
  ].join("\n");
  await writeFile(join(directory, "metadata.yaml"), text);
  await run(["tar", "-C", directory, "-cf", join(directory, "metadata.tar"), "metadata.yaml"]);
}

/** Debian's archive keys, where the machine keeps them apart from apt's own. */
async function keyring(): Promise<string[]> {
  const path = "/usr/share/keyrings/debian-archive-keyring.gpg";
  return (await isThere(path)) ? [`--keyring=${path}`] : [];
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
