import type { z } from "zod";
import { Fault } from "#base/fault.ts";
import { run } from "#base/run.ts";
import type { runBuild } from "#contract/actions/build.ts";
import type { CommitId } from "#contract/names.ts";
import type { BuilderSpec } from "#contract/spec/builder.ts";
import { secondsFor } from "#contract/work-settings.ts";
import { endProcesses } from "../../converge/user.ts";
import { masking, secretsOfNpmrc } from "../../secrets-in-output.ts";
import { beginUnit, forgetUnit, readUnit, readUnitOutput, runScript, shellScript, syncJournal } from "../../transient-unit.ts";
import type { PackSource } from "../../website/releases/pack-source.ts";
import { buildEnvironment, HOME } from "./environment.ts";
import { isolation, placesOf } from "./isolation.ts";
import { BUILDER, Workshop } from "./workshop.ts";

type Progress = z.output<typeof runBuild.output>;

const MOST_LINES = 500;
const FETCH_LIMIT_MS = 600_000;

/** The one build of this server: fetched, run as a unit of systemd, and brought to the git server. */
export class Build {
  readonly #spec: BuilderSpec;
  readonly #commit: CommitId;
  readonly #packs: PackSource;
  readonly #workshop = new Workshop();
  readonly #unit: string;
  readonly #mask: (line: string) => string;
  #preparing: Promise<void> | undefined;
  #bringing: Promise<CommitId> | undefined;
  /** What was built of the commit's tree before; then there is nothing to do. */
  #known: CommitId | null = null;
  #build: CommitId | null = null;
  #isPrepared = false;
  #fault: unknown;

  constructor(spec: BuilderSpec, commit: CommitId, packs: PackSource) {
    this.#spec = spec;
    this.#commit = commit;
    this.#packs = packs;
    this.#mask = masking(secretsOfNpmrc(spec.packages.npmrc));
    this.#unit = `boxyard-build-${commit.slice(0, 12)}.service`;
  }

  /** Brings it on, and gives how far it is. Fault "build.not-prepared" or "build.not-brought". */
  async advance(after: string | null): Promise<Progress> {
    this.#preparing ??= this.#prepare().catch((thrown: unknown) => this.#fail("build.not-prepared", "the build could not begin", thrown));
    if (this.#fault !== undefined) throw this.#fault;
    if (this.#known !== null) return { state: "done", exitStatus: null, lines: [], cursor: after, build: this.#known };
    if (!this.#isPrepared) return { state: "running", exitStatus: null, lines: [], cursor: after, build: null };
    const { state, exitStatus } = await readUnit(this.#unit);
    if (state !== "running") await syncJournal();
    const { lines, cursor } = await readUnitOutput(this.#unit, { after, most: MOST_LINES });
    const progress = { exitStatus, lines: lines.map(this.#mask), cursor, build: null };
    if (state !== "done" || lines.length === MOST_LINES) return { ...progress, state: lines.length === MOST_LINES ? "running" : state };
    this.#bringing ??= this.#bring();
    this.#bringing.then(
      (build) => {
        this.#build = build;
      },
      (thrown: unknown) => this.#fail("build.not-brought", "what was built could not be kept", thrown),
    );
    return { ...progress, state: this.#build === null ? "running" : "done", build: this.#build };
  }

  async #prepare(): Promise<void> {
    const { git: source, website, environment, network, limits, packages } = this.#spec;
    await run(["nft", "-f", "-"], { input: isolation({ uid: BUILDER.uid, network, allowed: await placesOf(packages.npmrc) }) });
    // What an agent before this one has begun would go on in what is cleared away here.
    await forgetUnit(this.#unit);
    await this.#workshop.clear();
    const question = { source, website, commit: this.#commit, have: null };
    const content = await this.#packs.fetchInto(this.#workshop.repository, question, AbortSignal.timeout(FETCH_LIMIT_MS));
    if (content !== this.#commit) {
      this.#known = content;
      return;
    }
    await this.#workshop.checkOut(this.#commit);
    await run(["install", "-d", `--owner=${BUILDER.name}`, `--group=${BUILDER.name}`, "-m", "0700", HOME]);
    const { commands, seconds } = await this.#workshop.plan(this.#commit, environment);
    await beginUnit({
      name: this.#unit,
      command: runScript(await this.#workshop.writeScript(shellScript(commands))),
      limitSeconds: secondsFor("buildSeconds", seconds, limits),
      properties: [
        `MemoryMax=${limits.buildMemoryMegabytes}M`,
        "MemorySwapMax=0",
        `CPUQuota=${Math.round(limits.buildProcessors * 100)}%`,
        `TasksMax=${limits.buildProcesses}`,
        "NoNewPrivileges=yes",
        "UMask=0022",
      ],
      environment: buildEnvironment(this.#spec, this.#commit),
      user: BUILDER.name,
      directory: this.#workshop.tree,
    });
    this.#isPrepared = true;
  }

  async #bring(): Promise<CommitId> {
    const { git: source, website } = this.#spec;
    const signal = AbortSignal.timeout(FETCH_LIMIT_MS);
    // What the build has left running must not change the tree any more.
    await endProcesses(BUILDER.uid);
    const build = await this.#workshop.commit(this.#commit);
    const packing = this.#workshop.startPack(build, this.#commit, signal);
    await this.#packs.bring(packing.stdout, { source, website, commit: this.#commit, build }, signal);
    await packing.ended;
    return build;
  }

  #fail(code: string, message: string, cause: unknown): void {
    this.#fault = new Fault(code, message, { cause });
  }
}
