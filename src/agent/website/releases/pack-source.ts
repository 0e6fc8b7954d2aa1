import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Fault } from "#base/fault.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import { CommitId, type WebsiteId } from "#contract/names.ts";
import type { GitSource } from "#contract/spec/website.ts";
import { git, startGit } from "./git.ts";

export interface PackQuestion {
  readonly source: GitSource;
  readonly website: WebsiteId;
  readonly commit: CommitId;
  /** A commit that the repository has whole; the pack is then only the difference. */
  readonly have: CommitId | null;
}

/** What is brought. */
export interface BuildQuestion extends Omit<PackQuestion, "have"> {
  readonly build: CommitId;
}

/** Names the commit that the pack is for, where it was built of the one that was asked for. */
export const BUILD_HEADER = "x-boxyard-build";

/** The git server's pack service, as one server of the yard reaches it: mutual TLS over connections that are kept. */
export class PackSource {
  readonly #agent: Agent;

  constructor({ caPem, certificatePem, keyPem }: Pick<Enrolment, "caPem" | "certificatePem" | "keyPem">) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: 4, ca: caPem, cert: certificatePem, key: keyPem });
  }

  /** Fetches a commit's objects into the bare repository; gives the commit whose tree is the release: itself, or what was built of it. */
  async fetchInto(repository: string, question: PackQuestion, signal: AbortSignal): Promise<CommitId> {
    const response = await this.#get(question, signal);
    const indexing = startGit(git.indexPack(repository), signal);
    indexing.stdout.resume();
    // Git's own words are worth more than the broken pipe that its end causes here.
    const [piped] = await Promise.allSettled([pipeline(response, indexing.stdin)]);
    await indexing.ended;
    if (piped.status === "rejected") throw piped.reason;
    return CommitId.parse(response.headers[BUILD_HEADER] ?? question.commit);
  }

  /** Brings what was built of a commit: a pack with the build and without the commit. */
  async bring(pack: Readable, { source, website, commit, build }: BuildQuestion, signal: AbortSignal): Promise<void> {
    const path = `/build/${website}/${commit}/${build}`;
    const asked = request({ method: "PUT", host: source.address, port: source.port, path, agent: this.#agent, signal });
    const answered = once(asked, "response");
    const [piped] = await Promise.allSettled([pipeline(pack, asked)]);
    const [response] = (await answered) as [IncomingMessage];
    const said = await beginningOf(response);
    if (response.statusCode !== 201)
      throw new Fault("release.no-build", `${source.server} does not take the build: ${response.statusCode} ${said}`);
    if (piped.status === "rejected") throw piped.reason;
  }

  close(): void {
    this.#agent.destroy();
  }

  async #get({ source, website, commit, have }: PackQuestion, signal: AbortSignal): Promise<IncomingMessage> {
    const path = `/pack/${website}/${commit}${have === null ? "" : `?have=${have}`}`;
    const asked = request({ host: source.address, port: source.port, path, agent: this.#agent, signal, timeout: 60_000 });
    asked.on("timeout", () => asked.destroy(new Error("no answer for 60 s")));
    asked.end();
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    if (response.statusCode === 200) return response;
    throw new Fault("release.no-pack", `${source.server} does not give ${website}'s commit ${commit}`, {
      cause: new Error(`${response.statusCode}: ${await beginningOf(response)}`),
    });
  }
}

async function beginningOf(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response) {
    text += String(chunk);
    if (text.length > 500) break;
  }
  return text.slice(0, 500).trim();
}
