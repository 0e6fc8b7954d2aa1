import { createReadStream } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import type { TLSSocket } from "node:tls";
import { isFault, renderFault, reportFault } from "#base/fault.ts";
import type { Log } from "#base/log.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import { CommitId } from "#contract/names.ts";
import type { WorkLimits } from "#contract/work-settings.ts";
import type { Resource } from "../../converge/resource.ts";
import { BUILD_HEADER } from "../../website/releases/pack-source.ts";
import { pruneBuilds, takeBuild } from "./builds.ts";
import type { Pack, PackStore } from "./pack-store.ts";
import type { GitWebsite } from "./push-desk.ts";
import type { Repository } from "./repository.ts";

export interface PackServiceOptions {
  readonly enrolment: Pick<Enrolment, "caPem" | "certificatePem" | "keyPem">;
  readonly log: Log;
  readonly packs: PackStore;
  readonly websites: () => readonly GitWebsite[];
  readonly repositoryOf: (website: GitWebsite) => Repository;
  /** The commits whose builds servers may still ask for. */
  readonly neededOf: (website: GitWebsite) => readonly CommitId[];
  readonly limits: () => Pick<WorkLimits, "releaseMegabytes">;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

const PACK_PATH = /^\/pack\/([^/]+)\/([^/]+)$/;
const BUILD_PATH = /^\/build\/([^/]+)\/([^/]+)\/([^/]+)$/;

/**
 * Over mutual TLS: `GET /pack/<website>/<commit>?have=<commit>` for the servers that carry the website, which gives what was
 * built of the commit where that is another (`X-Boxyard-Build`); `PUT /build/<website>/<commit>/<build>` for its builder.
 */
export class PackService {
  readonly #options: PackServiceOptions;
  #server: Server | undefined;

  constructor(options: PackServiceOptions) {
    this.#options = options;
  }

  /** The service listens on the port. */
  listening(port: number): Resource {
    return {
      id: `pack service on port ${port}`,
      mismatch: async () => (this.#server !== undefined && (port === 0 || this.port() === port) ? null : "does not listen"),
      apply: async () => {
        await this.stop();
        await this.#listen(port);
      },
    };
  }

  /** The port that it listens on; null when it does not. */
  port(): number | null {
    return (this.#server?.address() as AddressInfo | null | undefined)?.port ?? null;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  async #listen(port: number): Promise<void> {
    const { caPem: ca, certificatePem: cert, keyPem: key } = this.#options.enrolment;
    const tls = { ca, cert, key, requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.3" as const };
    const server = createServer({ ...tls, keepAliveTimeout: 120_000, requestTimeout: 600_000 }, (request, response) => {
      this.#serve(request, response).catch((thrown: unknown) => {
        this.#options.log.warn({ url: request.url, fault: reportFault(thrown) }, "pack not served");
        if (response.headersSent) response.destroy();
        else refuse(response, { status: 500, text: "git cannot make this pack" });
      });
    });
    // A server that goes away in the middle of a handshake is no fault of ours.
    server.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "0.0.0.0", resolve));
    this.#server = server;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "https://git");
    const isBuild = request.method === "PUT";
    const [, id, commit, build = null] = (isBuild ? BUILD_PATH : PACK_PATH).exec(url.pathname) ?? [];
    if ((request.method !== "GET" && !isBuild) || id === undefined)
      return refuse(response, { status: 404, text: "ask GET /pack/<website>/<commit>" });
    const have = url.searchParams.get("have");
    if ([commit, have, build].some((one) => one !== null && !CommitId.safeParse(one).success))
      return refuse(response, { status: 400, text: "a commit is 40 hexadecimal digits" });
    const reader = readerOf(request);
    const website = this.#options.websites().find((one) => one.id === id);
    const mayAsk = isBuild ? website?.builder === reader : website?.builder === reader || website?.readers.includes(reader ?? "");
    // The same answer for an unknown website: who does not carry it need not learn whether it exists.
    if (reader === null || website === undefined || !mayAsk)
      return refuse(response, { status: 403, text: `${reader ?? "this server"} does not carry ${id}` });
    const repository = this.#options.repositoryOf(website);
    if (build === null) return this.#give(response, repository, { commit: CommitId.parse(commit), have });
    return this.#take(request, response, { website, commit: CommitId.parse(commit), build });
  }

  async #take(
    request: IncomingMessage,
    response: ServerResponse,
    { website, commit, build }: { readonly website: GitWebsite; readonly commit: CommitId; readonly build: CommitId },
  ): Promise<void> {
    const { log, neededOf, repositoryOf } = this.#options;
    const repository = repositoryOf(website);
    try {
      await takeBuild(repository, { commit, build, pack: request }, this.#options.limits());
      this.#options.packs.forget(repository);
      // The next build tries again.
      await pruneBuilds(repository, [commit, ...neededOf(website)]).catch((thrown: unknown) =>
        log.warn({ website: website.id, fault: reportFault(thrown) }, "old builds not removed"),
      );
      response.writeHead(201).end();
    } catch (thrown) {
      if (!isFault(thrown, "git.bad-build") && !isFault(thrown, "git.too-many-files")) throw thrown;
      refuse(response, { status: 422, text: renderFault(thrown) });
    }
  }

  async #give(
    response: ServerResponse,
    repository: Repository,
    { commit, have }: { commit: CommitId; have: CommitId | null },
  ): Promise<void> {
    try {
      await this.#options.packs.borrow({ repository, commit, have }, (pack) => {
        if (pack.content !== commit) response.setHeader(BUILD_HEADER, pack.content);
        return send(response, pack);
      });
    } catch (thrown) {
      if (!isFault(thrown, "git.no-commit")) throw thrown;
      refuse(response, { status: 404, text: `there is no commit ${commit}` });
    }
  }
}

async function send(response: ServerResponse, { path, sizeBytes }: Pack): Promise<void> {
  response.writeHead(200, { "content-type": "application/x-git-packed-objects", "content-length": sizeBytes });
  await pipeline(createReadStream(path), response);
}

function refuse(response: ServerResponse, { status, text }: Answer): void {
  response.writeHead(status, { "content-type": "text/plain" }).end(`${text}\n`);
}

/** The name in the client's certificate, which the yard's authority has signed. */
function readerOf(request: IncomingMessage): string | null {
  const subject = (request.socket as TLSSocket).getPeerCertificate().subject as { CN?: unknown } | undefined;
  return typeof subject?.CN === "string" ? subject.CN : null;
}
