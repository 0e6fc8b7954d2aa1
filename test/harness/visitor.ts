import { request } from "node:https";
import { status, yardState } from "./yard.ts";

export interface Page {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** Whose words a page for an error is: the edges' is the caches', word for word. */
export function senderOf({ "x-cache": cache }: Page["headers"]): string {
  return cache === undefined ? "the edge" : "a cache";
}

export interface VisitOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

let edge: Promise<{ address: string; ca: string }> | undefined;

/** A visitor with a browser's memory for cookies; every request goes through the edge over HTTPS and checks the certificate. */
export class Visitor {
  readonly #cookies = new Map<string, string>();
  readonly #domain: string;

  constructor(domain: string) {
    this.#domain = domain;
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Page> {
    return this.visit(path, { headers });
  }

  /** Sends a form as a browser does. */
  post(path: string, form: Readonly<Record<string, string>>): Promise<Page> {
    const body = new URLSearchParams(form).toString();
    return this.visit(path, { method: "POST", body, headers: { "content-type": "application/x-www-form-urlencoded" } });
  }

  async visit(path: string, options: VisitOptions = {}): Promise<Page> {
    const { address, ca } = await edgeOfYard();
    const headers: Record<string, string> = { host: this.#domain, ...options.headers };
    if (this.#cookies.size > 0) headers["cookie"] = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    if (options.body !== undefined) headers["content-length"] = String(Buffer.byteLength(options.body));
    const page = await send({ address, ca, domain: this.#domain, path, method: options.method ?? "GET", headers, body: options.body });
    this.#remember(page.headers["set-cookie"]);
    return page;
  }

  /** Follows redirects within the website, up to ten. */
  async follow(page: Page): Promise<Page> {
    let at = page;
    for (let hops = 0; hops < 10 && at.status >= 300 && at.status < 400; hops++) {
      const location = new URL(String(at.headers["location"]), `https://${this.#domain}/`);
      at = await this.get(`${location.pathname}${location.search}`);
    }
    return at;
  }

  #remember(setCookie: string | string[] | undefined): void {
    for (const line of [setCookie ?? []].flat()) {
      const [pair = ""] = line.split(";");
      const at = pair.indexOf("=");
      const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
      if (/max-age=0|expires=[^;]*(19[0-9]{2}|200[0-9]|202[0-4])/i.test(line)) this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
  }
}

interface Sent {
  readonly address: string;
  readonly ca: string;
  readonly domain: string;
  readonly path: string;
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body: string | Uint8Array | undefined;
}

function send({ address, ca, domain, path, method, headers, body }: Sent): Promise<Page> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: address, port: 443, servername: domain, ca, path, method, headers, agent: false, timeout: 30_000 },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString() }),
        );
        response.on("error", reject);
      },
    );
    sent.on("timeout", () => sent.destroy(new Error(`no answer from https://${domain}${path} within 30 s`)));
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Where the edge listens, and the authority that its certificates are from. */
export function edgeOfYard(): Promise<{ address: string; ca: string }> {
  edge ??= (async () => {
    const { address } = (await status()).edge;
    if (address === null) throw new Error("the yard has no edge");
    return { address, ca: (await yardState()).caPem };
  })();
  return edge;
}
