import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { WorkingCopy } from "./working-copy.ts";
import { boxyardJson, type CommandResult } from "./yard.ts";

/** A site owner's working copy: real git, pushing over real SSH with a key of its own. */
export class Repository extends WorkingCopy {
  readonly #key: string;

  private constructor(directory: string, key: string) {
    super(directory);
    this.#key = key;
  }

  /** An empty repository and a new key in a scratch directory. */
  static async create(): Promise<Repository> {
    const scratch = await mkdtemp(join(tmpdir(), "boxyard-site-"));
    const directory = join(scratch, "site");
    await mkdir(directory);
    const key = join(scratch, "key");
    await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test@example.org", "-f", key]);
    const repository = new Repository(directory, key);
    await repository.git("init", "-q", "-b", "main");
    return repository;
  }

  get publicKeyFile(): string {
    return `${this.#key}.pub`;
  }

  /** Lets this working copy push to the website. */
  async mayPushTo(website: string): Promise<void> {
    await boxyardJson("key", "add", website, this.publicKeyFile);
  }

  /** Pushes; never throws. */
  async push(url: string, ref = "main", ...options: string[]): Promise<CommandResult> {
    return this.#run(["push", ...options, url, ref.includes(":") ? ref : `HEAD:refs/heads/${ref}`]);
  }

  override async git(...args: string[]): Promise<string> {
    const result = await this.#run(args);
    if (result.exitCode !== 0) throw new Error(`git ${args[0]}: ${result.stderr}`);
    return result.stdout;
  }

  /** Runs a command on a server by SSH with this working copy's key; never throws. */
  async ssh(url: string, ...command: string[]): Promise<CommandResult> {
    const result = await execa("ssh", [...SSH_OPTIONS, "-i", this.#key, url, ...command], {
      reject: false,
      timeout: 60_000,
      stdin: "ignore",
    });
    return { exitCode: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr };
  }

  async remove(): Promise<void> {
    await rm(dirname(this.directory), { recursive: true, force: true });
  }

  async #run(args: readonly string[]): Promise<CommandResult> {
    const ssh = ["ssh", ...SSH_OPTIONS, "-i", this.#key].join(" ");
    const result = await execa("git", ["-C", this.directory, "-c", "user.name=Site Owner", "-c", "user.email=owner@example.org", ...args], {
      env: { GIT_SSH_COMMAND: ssh, GIT_CONFIG_GLOBAL: "/dev/null" },
      reject: false,
      timeout: 300_000,
      stdin: "ignore",
      maxBuffer: 100_000_000,
    });
    return { exitCode: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr };
  }
}

const SSH_OPTIONS = [
  "-F",
  "/dev/null",
  "-o",
  "IdentitiesOnly=yes",
  "-o",
  "StrictHostKeyChecking=no",
  "-o",
  "UserKnownHostsFile=/dev/null",
  "-o",
  "LogLevel=ERROR",
  "-o",
  "BatchMode=yes",
];
