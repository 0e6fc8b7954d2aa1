import { mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Fault, isFault } from "#base/fault.ts";
import { run } from "#base/run.ts";
import { type Recipe, recipeHash } from "./recipe.ts";
import { findMirrors, packageSources } from "./sources.ts";

/** A built image: its two parts, as LXD and Incus import them. */
export interface ImageFiles {
  readonly hash: string;
  readonly metadata: string;
  readonly rootfs: string;
}

const CACHE = "/var/cache/boxyard/images";
const BUILD_LIMIT_MS = 30 * 60_000;

/** The recipe's image from the cache, built when it is not there; a new one replaces the images of other recipes. */
export async function ensureImageFiles(recipe: Recipe, onBuild: () => void): Promise<ImageFiles> {
  const hash = recipeHash(recipe);
  const directory = join(CACHE, hash);
  const files = { hash, metadata: join(directory, "metadata.tar"), rootfs: join(directory, "rootfs.tar.zst") };
  if (await isThere(files.rootfs)) return files;
  onBuild();
  await mkdir(CACHE, { recursive: true });
  const scratch = await mkdtemp(join(CACHE, `${hash}.`));
  try {
    await buildRootfs(recipe, join(scratch, "rootfs.tar.zst"));
    await buildMetadata(recipe, scratch);
    await rm(directory, { recursive: true, force: true });
    await rename(scratch, directory);
  } catch (cause) {
    await rm(scratch, { recursive: true, force: true });
    throw buildFault(recipe, cause);
  }
  await removeOthers(hash);
  return files;
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

/** The daemon has imported what others use; what a build under way elsewhere writes has a longer name. */
async function removeOthers(hash: string): Promise<void> {
  for (const name of await readdir(CACHE))
    if (/^[0-9a-f]{12}$/.test(name) && name !== hash) await rm(join(CACHE, name), { recursive: true, force: true });
}

async function buildRootfs(recipe: Recipe, target: string): Promise<void> {
  const overlay = await mkdtemp(join(tmpdir(), "boxyard-image-"));
  try {
    for (const [path, content] of Object.entries(recipe.files)) {
      await mkdir(join(overlay, dirname(path)), { recursive: true });
      await writeFile(join(overlay, path), content);
    }
    await run(["chmod", "-R", "u=rwX,go=rX", overlay]);
    const tar = target.replace(/\.zst$/, "");
    await run(
      [
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
      { timeoutMs: BUILD_LIMIT_MS },
    );
    await run(["zstd", "-q", "-1", "-T0", "--rm", "-f", tar, "-o", target], { timeoutMs: BUILD_LIMIT_MS });
  } finally {
    await rm(overlay, { recursive: true, force: true });
  }
}

/** Commands of mmdebstrap's customize hooks; "$1" is the image's root. Only the recipe's own words stand in them. */
function customizations({ disabledUnits, maskedUnits, enabledUnits }: Recipe): string[] {
  return [
    'chroot "$1" useradd --system --user-group --home-dir /var/lib/boxyard --shell /usr/sbin/nologin boxyard',
    'chroot "$1" install -d /opt/boxyard /etc/boxyard /var/lib/boxyard /var/cache/boxyard /srv/files /srv/sites',
    'chroot "$1" install -d -m 1777 /var/cache/boxyard/node',
    `chroot "$1" systemctl disable ${disabledUnits.join(" ")}`,
    `chroot "$1" systemctl mask ${maskedUnits.join(" ")}`,
    `chroot "$1" systemctl enable ${enabledUnits.join(" ")}`,
    'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/etc/ssh/ssh_host_* "$1"/var/www/html',
    // Empty, not "uninitialized": systemd must not apply presets at a server's first boot.
    ': > "$1"/etc/machine-id',
    'ln -sf /usr/share/zoneinfo/Etc/UTC "$1"/etc/localtime',
  ];
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
