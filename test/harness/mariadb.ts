import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { chown, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mariadbFiles } from "#agent/roles/database/mariadb.ts";
import { type RunSql, sqlOver } from "#agent/roles/database/sql.ts";
import { until } from "#base/retry.ts";
import { run } from "#base/run.ts";
import { freePort } from "./ports.ts";

/** A real MariaDB of its own with a database server's configuration, at 127.0.0.1 and over sockets, as systemd hands them to it. */
export interface TestMariadb {
  readonly port: number;
  /** The socket that everybody shares, and root's own. */
  readonly sockets: { readonly everybody: string; readonly root: string };
  readonly runSql: RunSql;
  /** Where its certificate, its authority's and its log are. */
  readonly folder: string;
  stop(): Promise<void>;
}

export interface TestMariadbOptions {
  /** The authority that its certificate is of, made by `createAuthority`; without one the certificate is its own. */
  readonly authority?: string;
  /** Whom its certificate names, as a subjectAltName; its address by default. */
  readonly certifiedAs?: string;
  /** Lines of [mariadbd] beside a database server's own. */
  readonly settings?: readonly string[];
}

/** Starts it; safety against power loss is off, because it lives for one test file. */
export async function startMariadb({
  authority,
  certifiedAs = "IP:127.0.0.1,DNS:db1",
  settings = [],
}: TestMariadbOptions = {}): Promise<TestMariadb> {
  const folder = await mkdtemp(join(tmpdir(), "boxyard-mariadb-"));
  const [uid = 0, gid = 0] = (await run(["getent", "passwd", "mysql"])).stdout.split(":").slice(2, 4).map(Number);
  // A server that starts removes all temporary tables where they are made: those of another one that starts beside it, too.
  const temporary = join(folder, "tmp");
  await mkdir(temporary);
  for (const path of [folder, temporary]) await chown(path, uid, gid);
  await createCertificate({ folder, authority, certifiedAs });
  for (const name of ["key.pem", "certificate.pem"]) await chown(join(folder, name), uid, gid);
  const own = [
    "skip-log-bin",
    "innodb-flush-log-at-trx-commit = 0",
    "innodb-flush-method = nosync",
    `pid-file = ${folder}/pid`,
    `datadir = ${folder}/data`,
    `tmpdir = ${temporary}`,
    ...settings,
  ];
  await writeFile(join(folder, "my.cnf"), `${serverSettings(folder)}${own.join("\n")}\n`);
  const install = [
    "--auth-root-authentication-method=socket",
    "--auth-root-socket-user=root",
    "--skip-test-db",
    "--user=mysql",
    "--innodb-flush-method=nosync",
    `--tmpdir=${temporary}`,
  ];
  await run(["mariadb-install-db", "--no-defaults", `--datadir=${folder}/data`, ...install], { timeoutMs: 180_000 });

  const port = await freePort("127.0.0.1");
  const sockets = { everybody: join(folder, "mysqld.sock"), root: join(folder, "root.sock") };
  const places = [`127.0.0.1:${port}`, sockets.everybody, sockets.root].flatMap((place) => ["--listen", place]);
  const server = spawn(
    "systemd-socket-activate",
    [...places, "--fdname=mariadb:mariadb:extra", "/usr/sbin/mariadbd", `--defaults-file=${folder}/my.cnf`, "--user=mysql"],
    { stdio: ["ignore", "ignore", openSync(join(folder, "log"), "w")] },
  );
  const runSql = sqlOver(sockets.root);
  await answers(runSql, server, folder);
  return {
    port,
    sockets,
    runSql,
    folder,
    stop: async () => {
      const ended = once(server, "exit");
      server.kill("SIGKILL");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A folder with an authority's `ca.pem` and its key. */
export async function createAuthority(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "boxyard-authority-"));
  const files = ["-keyout", `${folder}/ca-key.pem`, "-out", `${folder}/ca.pem`];
  await run(["openssl", "req", "-x509", ...NEW_KEY, ...files, "-days", "2", "-subj", "/CN=Test authority"]);
  return folder;
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

interface CertificateWant {
  readonly folder: string;
  readonly authority: string | undefined;
  readonly certifiedAs: string;
}

async function createCertificate({ folder, authority, certifiedAs }: CertificateWant): Promise<void> {
  const files = ["-keyout", `${folder}/key.pem`, "-out", `${folder}/certificate.pem`, "-days", "2"];
  const signer = authority === undefined ? [] : ["-CA", `${authority}/ca.pem`, "-CAkey", `${authority}/ca-key.pem`];
  const names = ["-subj", "/CN=db1", "-addext", `subjectAltName=${certifiedAs}`, "-addext", "basicConstraints=critical,CA:FALSE"];
  await run(["openssl", "req", "-x509", ...NEW_KEY, ...files, ...names, ...signer]);
  const ca = authority === undefined ? `${folder}/certificate.pem` : `${authority}/ca.pem`;
  await run(["cp", ca, `${folder}/ca.pem`]);
}

/** What a database server has, with certificates of this folder. */
function serverSettings(folder: string): string {
  const files = mariadbFiles({ enrolment: { caPem: "", certificatePem: "", keyPem: "" }, spec: { port: 3306 }, address: "127.0.0.1" });
  const settings = files.find(({ path }) => path.endsWith(".cnf"))?.content ?? "";
  return settings.replaceAll("/etc/mysql/boxyard/", `${folder}/`);
}

/** Waits long: it starts beside other tests, and may start beside the build of an image. */
async function answers(runSql: RunSql, server: ChildProcess, folder: string): Promise<void> {
  const ended = new AbortController();
  server.once("exit", () => ended.abort(new Error("mariadbd has ended")));
  try {
    await until("mariadbd", () => runSql("SELECT 1"), { timeoutMs: 150_000, signal: ended.signal });
  } catch (thrown) {
    server.kill("SIGKILL");
    throw new Error(`mariadbd does not start: ${await readFile(join(folder, "log"), "utf8")}`, { cause: thrown });
  }
}
