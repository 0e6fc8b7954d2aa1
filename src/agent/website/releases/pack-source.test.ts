import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { reportFault } from "#base/fault.ts";
import { run } from "#base/run.ts";
import { createAuthority, issueCertificate, type KeyPair } from "#control/authority/authority.ts";
import { PackSource } from "./pack-source.ts";
import { openRepository } from "./repository.ts";
import { TestSite } from "./test-site.ts";

let scratch: string;
let site: TestSite;
let server: Server;
let packs: PackSource;
const asked: string[] = [];
const sockets = new Set<unknown>();
const signal = new AbortController().signal;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "boxyard-packs-"));
  site = await TestSite.create();
  const authority = await createAuthority("trial");
  const ofServer = (name: string, addresses: readonly string[] = []): Promise<KeyPair> =>
    issueCertificate(authority, { commonName: name, dnsNames: [name], addresses, validDays: 2 });
  const [git, box] = [await ofServer("git1", ["127.0.0.1"]), await ofServer("c1b1")];
  const tls = {
    ca: authority.certificatePem,
    cert: git.certificatePem,
    key: git.keyPem,
    requestCert: true,
    rejectUnauthorized: true,
  };
  server = createServer(tls, (request, response) => {
    sockets.add(request.socket);
    asked.push(`${(request.socket as TLSSocket).getPeerCertificate().subject.CN} ${request.url}`);
    const [, commit] = /^\/pack\/s1\/([0-9a-f]{40})/.exec(request.url ?? "") ?? [];
    if (commit === undefined) return response.writeHead(403).end("c1b1 may not read s9\n");
    const isCut = request.url?.includes("have=") === true;
    void run(["sh", "-c", `echo ${commit} | git pack-objects --revs --stdout -q | base64 -w0`], { cwd: site.work }).then(({ stdout }) => {
      const pack = Buffer.from(stdout, "base64");
      response.end(isCut ? pack.subarray(0, pack.length - 30) : pack);
    });
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  packs = new PackSource({ caPem: authority.certificatePem, ...box });
});

afterAll(async () => {
  packs.close();
  server.closeAllConnections();
  server.close();
  await site.remove();
  await rm(scratch, { recursive: true, force: true });
});

const source = () => ({ server: "git1", address: "127.0.0.1", port: (server.address() as AddressInfo).port });

test("a commit comes over mutual TLS, by one connection that is kept", async () => {
  const repository = await openRepository(join(scratch, "repo.git"));
  for (const content of ["one", "two"]) {
    const commit = await site.commit(`echo ${content} > a`);
    await packs.fetchInto(repository.directory, { source: source(), website: "s1", commit, have: null }, signal);
    expect((await run(["git", "--git-dir", repository.directory, "cat-file", "-p", `${commit}:a`])).stdout).toBe(`${content}\n`);
  }
  expect(asked[0]).toMatch(/^c1b1 \/pack\/s1\/[0-9a-f]{40}$/);
  expect(sockets.size).toBe(1);
});

test("a refusal is told in the git server's words", async () => {
  const repository = await openRepository(join(scratch, "repo.git"));
  const fault = await packs
    .fetchInto(repository.directory, { source: source(), website: "s9", commit: "0".repeat(40), have: null }, signal)
    .catch((thrown: unknown) => thrown);
  expect(reportFault(fault)).toMatchObject({ code: "release.no-pack", message: expect.stringContaining("403: c1b1 may not read s9") });
});

test("a pack that ends too early is refused", async () => {
  const repository = await openRepository(join(scratch, "repo.git"));
  const commit = await site.commit("echo three > a");
  await expect(
    packs.fetchInto(repository.directory, { source: source(), website: "s1", commit, have: "1".repeat(40) }, signal),
  ).rejects.toThrow(/early EOF|git/);
});
