import { mkdir, mkdtemp, readdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { run } from "#base/run.ts";
import { BUILD_LIMIT_MS, buildImage } from "./build.ts";
import { holdMachineLock, withFreeMachineLock } from "./machine-lock.ts";
import { type Recipe, recipeHash } from "./recipe.ts";

/** A built image: its two parts, as LXD and Incus import them. */
export interface ImageFiles {
  readonly metadata: string;
  readonly rootfs: string;
}

export interface ImageCacheOptions {
  readonly directory?: string;
  readonly build?: typeof buildImage;
}

const DIRECTORY = "/var/cache/boxyard/images";
/** A build's two commands, and the import after it. */
const WAIT_LIMIT_MS = 2 * BUILD_LIMIT_MS + 10 * 60_000;
/** An image, or with six more characters what a build works in. */
const BUILT_OR_BEGUN = /^([0-9a-f]{12})(\.[^.]{6})?$/;

/** The images that this machine has built, one for each recipe; all yards of the machine share them. */
export class ImageCache {
  readonly #directory: string;
  readonly #build: typeof buildImage;

  constructor({ directory = DIRECTORY, build = buildImage }: ImageCacheOptions = {}) {
    this.#directory = directory;
    this.#build = build;
  }

  /** Does work while no other process of the machine builds or imports the recipe's image. */
  async hold<T>(recipe: Recipe, work: () => Promise<T>, onWait: () => void): Promise<T> {
    await mkdir(this.#directory, { recursive: true });
    return holdMachineLock(this.#lockOf(recipeHash(recipe)), work, { onWait, limitMs: WAIT_LIMIT_MS });
  }

  /** For who holds the recipe: its image, built when it is not there; a new one replaces the images of other recipes. */
  async ensure(recipe: Recipe, onBuild: () => void): Promise<ImageFiles> {
    const hash = recipeHash(recipe);
    const directory = join(this.#directory, hash);
    const files = { metadata: join(directory, "metadata.tar"), rootfs: join(directory, "rootfs.tar.zst") };
    if (await isThere(files.rootfs)) return files;
    onBuild();
    await this.#removeLeftovers(hash);
    const scratch = await mkdtemp(join(this.#directory, `${hash}.`));
    try {
      await this.#build(recipe, scratch);
      await removeFiles(directory);
      await rename(scratch, directory);
    } catch (thrown) {
      await removeFiles(scratch);
      throw thrown;
    }
    await this.#removeOthers(hash);
    return files;
  }

  /** What killed builds have left: nobody else works on what we hold. */
  async #removeLeftovers(hash: string): Promise<void> {
    for (const name of await readdir(this.#directory))
      if (name !== hash && BUILT_OR_BEGUN.exec(name)?.[1] === hash) await removeFiles(join(this.#directory, name));
  }

  /** The daemon has imported what others use; a recipe that another process holds is still being built or imported. */
  async #removeOthers(hash: string): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      const other = BUILT_OR_BEGUN.exec(name)?.[1];
      if (other !== undefined && other !== hash)
        await withFreeMachineLock(this.#lockOf(other), () => removeFiles(join(this.#directory, name)));
    }
  }

  #lockOf(hash: string): string {
    return join(this.#directory, `${hash}.lock`);
  }
}

/** Of a directory on this disk alone: a build that is killed may leave something mounted in its own. */
async function removeFiles(directory: string): Promise<void> {
  await run(["rm", "-rf", "--one-file-system", "--", directory], { timeoutMs: 300_000 });
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
