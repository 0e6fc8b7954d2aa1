import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { connect as connectTls } from "node:tls";
import { EDGE_PATHS, mapText, renderDomainMap, renderEdgeConfig, renderRedirectMap, renderWebsiteMap } from "#agent/roles/edge/config.ts";
import { certificateListText } from "#agent/roles/edge/run-time.ts";
import { NAMED_HEADERS, NAMED_HEADERS_LUA } from "#agent/roles/edge/visitor-headers.ts";
import { until } from "#base/retry.ts";
import { type RunResult, run } from "#base/run.ts";
import type { EdgeSpec } from "#contract/spec/edge.ts";

type Spec = Pick<EdgeSpec, "clusters" | "domains">;

/** An edge's HAProxy on an address of its own, with the rendered configuration and a certificate that nobody knows. */
export class TestEdge {
  readonly #address: string;
  #folder = "";
  #running: ChildProcess | undefined;

  constructor(address: string) {
    this.#address = address;
  }

  /** Writes all files that an edge has; HTTP/3 is left out, for which the HAProxy of this machine is too old. */
  async write(spec: Spec): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), "boxyard-edge-"));
    const config = renderEdgeConfig(spec)
      .replaceAll(/^ +(?:limited-quic|bind quic4@.*)\n/gm, "")
      .replaceAll(/^( +bind ):/gm, `$1${this.#address}:`);
    const [key, certificate] = [join(this.#folder, "key"), join(this.#folder, "certificate")];
    const subject = ["-subj", "/CN=edge.test", "-keyout", key, "-out", certificate];
    await run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", ...subject]);
    await run(["sh", "-c", `cat ${certificate} ${key} > ${join(this.#folder, "both")}`]);
    const files = {
      [EDGE_PATHS.config]: config,
      [NAMED_HEADERS]: NAMED_HEADERS_LUA,
      [EDGE_PATHS.domains]: mapText(renderDomainMap(spec)),
      [EDGE_PATHS.redirects]: mapText(renderRedirectMap(spec)),
      [EDGE_PATHS.websites]: mapText(renderWebsiteMap(spec)),
      [EDGE_PATHS.certificateList]: certificateListText([]),
    };
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(this.#here(path)), { recursive: true });
      await writeFile(this.#here(path), this.#here(content));
    }
    await mkdir(dirname(this.#here(EDGE_PATHS.socket)), { recursive: true });
    await run(["cp", join(this.#folder, "both"), this.#here(EDGE_PATHS.defaultCertificate)]);
  }

  /** HAProxy's own checker. */
  check(): Promise<RunResult> {
    return run(["haproxy", "-c", "-f", this.#here(EDGE_PATHS.config)]);
  }

  async start(): Promise<void> {
    this.#running = spawn("/usr/sbin/haproxy", ["-db", "-f", this.#here(EDGE_PATHS.config)], { stdio: "ignore" });
    const isThere = () => this.send("GET / HTTP/1.1\r\nhost: nowhere.test\r\nconnection: close\r\n\r\n").catch(() => null);
    await until("HAProxy to answer", isThere, { timeoutMs: 60_000 });
  }

  /** Sends bytes over TLS as a visitor might, and gives what comes back until the connection ends. */
  async send(bytes: string): Promise<string> {
    const socket = connectTls({ host: this.#address, port: 443, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
    socket.setEncoding("utf8");
    socket.write(bytes);
    return (await socket.toArray()).join("");
  }

  async end(): Promise<void> {
    if (this.#running !== undefined) {
      const ended = once(this.#running, "exit");
      this.#running.kill();
      await ended;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Paths of an edge as they are here. */
  #here(text: string): string {
    return text.replaceAll(/\/(?:etc|run)\/haproxy/g, (found) => `${this.#folder}${found}`);
  }
}
