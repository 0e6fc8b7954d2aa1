import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** A site owner's working copy of a website. */
export abstract class WorkingCopy {
  readonly directory: string;

  protected constructor(directory: string) {
    this.directory = directory;
  }

  /** Runs git in it and gives what it said; throws when git fails. */
  abstract git(...args: string[]): Promise<string>;

  async write(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(this.directory, path)), { recursive: true });
      await writeFile(join(this.directory, path), content);
    }
  }

  /** Commits everything and gives the commit. */
  async commit(message: string): Promise<string> {
    await this.git("add", "-A");
    await this.git("commit", "-q", "--allow-empty", "-m", message);
    return (await this.git("rev-parse", "HEAD")).trim();
  }
}
