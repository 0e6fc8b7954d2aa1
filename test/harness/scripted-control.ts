import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { z } from "zod";
import { Fault, reportFault } from "#base/fault.ts";
import { LEADER_PATH, STANDBY } from "#contract/api/leader.ts";
import type { Route } from "#contract/api/route.ts";
import { api } from "#contract/api/routes.ts";
import { createAuthority, issueCertificate, type KeyPair } from "#control/authority/authority.ts";

type Api = typeof api;

/** What a scripted control answers, by the route's name, all lines at once where it streams; the contract's own schemas check both ways. */
export type Script = {
  readonly [K in keyof Api]?: (given: {
    readonly params: z.output<Api[K]["params"]>;
    readonly input: z.output<Api[K]["input"]>;
  }) => Api[K] extends { readonly streams: true } ? readonly z.input<Api[K]["output"]>[] : z.input<Api[K]["output"]>;
};

/** One request as it came. */
export interface Asked {
  readonly route: keyof Api;
  readonly params: unknown;
  readonly input: unknown;
}

const TOKEN = "token-of-the-scripted-control";

/** A control API over real HTTPS, with a certificate for its address from an authority of its own, that answers as told. */
export class ScriptedControl {
  readonly asked: Asked[] = [];
  script: Script = {};
  /** Whether requests are taken and never answered. */
  isSilent = false;
  /** How long everything takes but the answer whether it leads. */
  delayMs = 0;
  /** After so many lines of what streams the connection breaks. */
  breaksAfter = Number.POSITIVE_INFINITY;
  /** Whether it is the control server that leads; one that does not stands by. */
  isLeading = true;
  /** How often it was asked whether it leads. */
  looks = 0;
  /** How many connections came about. */
  connections = 0;
  readonly url: string;
  readonly caPem: string;
  /** The directory to give as BOXYARD_YARDS; it knows this control as yard "main". */
  readonly yards: string;
  readonly #server: Server;
  readonly #directory: string;

  private constructor(directory: string, server: Server, caPem: string) {
    this.#directory = directory;
    this.#server = server;
    this.url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.caPem = caPem;
    this.yards = join(directory, "yards");
    server.on("secureConnection", () => this.connections++);
    server.on("request", (incoming: IncomingMessage, outgoing: ServerResponse) => void this.#answer(incoming, outgoing));
  }

  /** Control servers of one yard have one authority. */
  static async start(shared?: KeyPair): Promise<ScriptedControl> {
    const directory = await mkdtemp(join(tmpdir(), "boxyard-cli-"));
    const authority = shared ?? (await createAuthority("main"));
    const request = { commonName: "control1", dnsNames: [], addresses: ["127.0.0.1"], validDays: 2 };
    const { certificatePem: cert, keyPem: key } = await issueCertificate(authority, request);
    const server = createServer({ cert, key });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const control = new ScriptedControl(directory, server, authority.certificatePem);
    await control.writeYard("main");
    return control;
  }

  get access(): { urls: string[]; token: string; caPem: string } {
    return { urls: [this.url], token: TOKEN, caPem: this.caPem };
  }

  /** Makes a yard known in the directory, by default with the way to this control. */
  async writeYard(yard: string, access: Partial<ScriptedControl["access"]> = {}): Promise<void> {
    await mkdir(join(this.yards, yard), { recursive: true });
    const state = { yard, subnet: "10.99.0.0/24", gateway: "10.99.0.1", controlAddress: "10.99.0.2", ...this.access, ...access };
    await writeFile(join(this.yards, yard, "yard.json"), JSON.stringify(state));
  }

  /** Ends at once, in the middle of whatever it does. */
  die(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#directory, { recursive: true });
  }

  async #answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const reply = (status: number, body: unknown): void => {
      outgoing.writeHead(status, { "content-type": "application/json" }).end(typeof body === "string" ? body : JSON.stringify(body));
    };
    if (incoming.url === LEADER_PATH) this.looks++;
    if (this.isSilent) return;
    if (!this.isLeading) return reply(503, reportFault(new Fault(STANDBY, "it stands by")));
    if (incoming.url === LEADER_PATH) return void outgoing.writeHead(204).end();
    await sleep(this.delayMs);
    try {
      if (incoming.headers.authorization !== `Bearer ${TOKEN}`) throw new Fault("api.unauthorized", "the token is missing or wrong");
      const { name, params, input } = await match(incoming);
      const asked = { params: api[name].params.parse(params), input: api[name].input.parse(input) };
      this.asked.push({ route: name, ...asked });
      const answer = this.script[name] as ((given: typeof asked) => unknown) | undefined;
      if (answer === undefined) throw new Fault("api.unknown-route", `nothing is scripted for ${name}`);
      const told = answer(asked);
      const lines = "streams" in api[name] && Array.isArray(told) ? told.map((line) => `${JSON.stringify(line)}\n`) : null;
      if (lines === null) reply(200, told);
      else if (lines.length <= this.breaksAfter) reply(200, lines.join(""));
      else outgoing.write(lines.slice(0, this.breaksAfter).join(""), () => outgoing.destroy());
    } catch (thrown) {
      reply(thrown instanceof Fault ? 409 : 500, reportFault(thrown));
    }
  }
}

async function match(incoming: IncomingMessage): Promise<{ name: keyof Api; params: Record<string, string>; input: unknown }> {
  const url = new URL(incoming.url ?? "/", "https://control");
  const body = await text(incoming);
  for (const [name, route] of Object.entries(api) as [keyof Api, Route][]) {
    const pattern = new RegExp(`^${route.path.replaceAll(/\{(\w+)\}/g, "(?<$1>[^/]+)")}$`);
    const found = route.method === incoming.method ? pattern.exec(url.pathname) : null;
    if (found === null) continue;
    const params = Object.fromEntries(Object.entries(found.groups ?? {}).map(([key, value]) => [key, decodeURIComponent(value)]));
    return { name, params, input: body === "" ? Object.fromEntries(url.searchParams) : JSON.parse(body) };
  }
  throw new Fault("api.unknown-route", `there is no ${incoming.method} ${url.pathname}`);
}

/** The fault that this ends with. */
export async function faultOf(work: Promise<unknown>): Promise<Fault> {
  const thrown = await work.then(
    () => null,
    (error: unknown) => error,
  );
  if (thrown instanceof Fault) return thrown;
  throw new Error("no fault was thrown", { cause: thrown });
}
