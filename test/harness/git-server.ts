import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { repositoryConfiguration } from "#agent/roles/git/configuration-files.ts";
import { PushDesk } from "#agent/roles/git/push-desk.ts";
import { PushRecords } from "#agent/roles/git/push-records.ts";
import { PushSockets } from "#agent/roles/git/push-sockets.ts";
import { Repository } from "#agent/roles/git/repository.ts";
import { Channel } from "#base/channel.ts";
import { timestamp } from "#base/clock.ts";
import { silentLog } from "#base/log.ts";
import type { DeploymentState } from "#contract/deployment.ts";
import type { Event } from "#contract/events.ts";
import type { Push } from "#contract/push.ts";
import type { GitSpec } from "#contract/spec/git.ts";
import { USUAL_LIMITS } from "#contract/work-settings.ts";
import type { AgentFabric } from "#fabric/fabric.ts";
import { SEED } from "./seed.ts";
import { VirtualClock } from "./virtual-clock.ts";
import { WorkingCopy } from "./working-copy.ts";

export interface TrialPush {
  readonly exitCode: number;
  readonly stderr: string;
}

/** A bus with a control plane that a test plays. */
export class PlayedControl implements AgentFabric {
  readonly pushes: Push[] = [];
  isUp = true;
  /** What control does with a push; nothing by default. */
  onPush: (push: Push) => void = () => undefined;
  readonly #followers = new Set<Channel<Event>>();

  answer(): void {}
  answerInParts(): void {}
  allowBy(): void {}
  refused(): number {
    return 0;
  }
  answerWithJob(): void {}
  async rehearse(): Promise<void> {}
  selectBy(): void {}
  onNudge(): void {}
  async readSpec(): Promise<null> {
    return null;
  }
  async useBrokers(): Promise<void> {}
  async putStatus(): Promise<void> {}
  async publishEvent(): Promise<void> {}
  async close(): Promise<void> {}

  isConnected(): boolean {
    return this.isUp;
  }

  async publishPush(push: Push): Promise<void> {
    if (!this.isUp) throw new Error("no broker");
    if (this.pushes.some(({ id }) => id === push.id)) return;
    this.pushes.push(push);
    setImmediate(() => this.onPush(push));
  }

  async *followDeployments(signal: AbortSignal): AsyncIterable<Event> {
    const channel = new Channel<Event>();
    this.#followers.add(channel);
    signal.addEventListener("abort", () => channel.close(), { once: true });
    yield* channel;
  }

  say({ id: push, website, commit }: Push, state: DeploymentState, line: string): void {
    const event: Event = { kind: "deployment", at: timestamp(), deployment: 1, website, push, commit, state, server: null, line };
    for (const channel of this.#followers) channel.push(event);
  }
}

/** A git server in a scratch directory: real Git, real hooks, real sockets, without sshd and accounts of its own. */
export class TrialGitServer {
  readonly control: PlayedControl;
  readonly scratch: string;
  /** By which pushers wait: it stands still unless a test starts it. */
  readonly clock = new VirtualClock(SEED);
  readonly websites: GitSpec["websites"] = [];
  releaseMegabytes = USUAL_LIMITS.releaseMegabytes;
  desk: PushDesk;
  sockets: PushSockets;

  private constructor(scratch: string, control: PlayedControl) {
    this.scratch = scratch;
    this.control = control;
    this.desk = this.#newDesk();
    this.sockets = this.#newSockets();
  }

  static async start(): Promise<TrialGitServer> {
    const server = new TrialGitServer(await mkdtemp(join(tmpdir(), "boxyard-git-")), new PlayedControl());
    await mkdir(join(server.scratch, "sockets"));
    await server.desk.start();
    return server;
  }

  /** The agent as it is after its process ended and began again. */
  async restart(): Promise<void> {
    await this.sockets.stop();
    await this.desk.stop();
    this.desk = this.#newDesk();
    this.sockets = this.#newSockets();
    await this.desk.start();
    for (const { id } of this.websites) await this.#openSocket(id);
  }

  async addWebsite(id: string, branch = "main"): Promise<void> {
    const website = {
      id,
      uid: process.getuid?.() ?? 0,
      branch,
      environment: "production",
      authorizedKeys: [],
      readers: ["c1b1"],
      builder: null,
      goodReleases: [],
      release: null,
    };
    this.websites.push(website);
    const repository = this.repository(id);
    await repository.init();
    await writeFile(join(repository.path, "config"), repositoryConfiguration({ branch }, USUAL_LIMITS));
    await writeFile(join(repository.path, "HEAD"), `ref: refs/heads/${branch}\n`);
    await this.#openSocket(id);
  }

  repository(id: string): Repository {
    return new Repository(join(this.scratch, `${id}.git`), null);
  }

  /** A new working copy with one commit of these files. */
  async workingCopy(name: string, files: Readonly<Record<string, string>>): Promise<TrialWorkingCopy> {
    const copy = new TrialWorkingCopy(join(this.scratch, name), this);
    await copy.init(files);
    return copy;
  }

  async stop(): Promise<void> {
    await this.clock.stop();
    await this.sockets.stop();
    await this.desk.stop();
    await rm(this.scratch, { recursive: true, force: true });
  }

  async #openSocket(id: string): Promise<void> {
    await this.sockets.socket(id, process.getuid?.() ?? 0).apply(AbortSignal.timeout(5_000));
  }

  #newDesk(): PushDesk {
    return new PushDesk({
      maybeTakenOver: () => false,
      fabric: this.control,
      log: silentLog(),
      server: "git1",
      records: new PushRecords(join(this.scratch, "pushes")),
      websites: () => this.websites,
      repositoryOf: ({ id }) => this.repository(id),
      rulesFor: ({ environment }) => ({ label: environment, limits: { ...USUAL_LIMITS, releaseMegabytes: this.releaseMegabytes } }),
      clock: this.clock,
    });
  }

  #newSockets(): PushSockets {
    return new PushSockets(join(this.scratch, "sockets"), (website, request, say) => this.desk.take(website, request, say));
  }
}

/** A site owner's clone that pushes to a trial git server. */
export class TrialWorkingCopy extends WorkingCopy {
  readonly #server: TrialGitServer;

  constructor(directory: string, server: TrialGitServer) {
    super(directory);
    this.#server = server;
  }

  async init(files: Readonly<Record<string, string>>): Promise<void> {
    await mkdir(this.directory);
    await this.git("init", "-q", "-b", "main");
    await this.write(files);
    await this.commit("First");
  }

  async push(website: string, ...args: string[]): Promise<TrialPush> {
    const url = this.#server.repository(website).path;
    const socket = join(this.#server.scratch, "sockets", `${website}.sock`);
    const refs = args.some((arg) => !arg.startsWith("-")) ? [] : ["main"];
    const options = args.filter((arg) => arg.startsWith("-"));
    const named = args.filter((arg) => !arg.startsWith("-"));
    const result = await execa("git", ["push", ...options, url, ...named, ...refs], {
      cwd: this.directory,
      env: { ...GIT, BOXYARD_PUSH_SOCKET: socket },
      reject: false,
      timeout: 25_000,
    });
    return { exitCode: result.exitCode ?? -1, stderr: result.stderr };
  }

  override async git(...args: string[]): Promise<string> {
    return (await execa("git", args, { cwd: this.directory, env: GIT })).stdout;
  }
}

const GIT = {
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "Site Owner",
  GIT_AUTHOR_EMAIL: "owner@example.org",
  GIT_COMMITTER_NAME: "Site Owner",
  GIT_COMMITTER_EMAIL: "owner@example.org",
};
