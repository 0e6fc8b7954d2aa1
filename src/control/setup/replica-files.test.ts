import { existsSync } from "node:fs";
import { chown, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "#base/retry.ts";
import { run } from "#base/run.ts";
import { goldenText } from "#harness/golden.ts";
import { ensureServer, stopServer } from "#harness/postgres-server.ts";
import { createAuthority, issueCertificate } from "../authority/authority.ts";
import type { OwnedFile } from "./file.ts";
import { etcdFiles, patroniFiles, renderConfiguration } from "./replica-files.ts";

const members = [1, 2, 3].map((nth) => ({ name: `control${nth}`, address: `10.77.5.${nth + 1}` }));
const options = { yard: "acme", server: "control2", address: "10.77.5.3", members, rejoins: false };

function contentOf(files: readonly OwnedFile[], path: string): string {
  const found = files.find((file) => file.path === path);
  if (found === undefined) throw new Error(`no ${path}`);
  return found.content;
}

function patroni(): PatroniText {
  return JSON.parse(contentOf(patroniFiles(options), "/etc/patroni/config.yml")) as PatroniText;
}

interface PatroniText {
  readonly restapi: Record<string, string>;
  readonly etcd3: { readonly hosts: readonly string[] };
  readonly postgresql: {
    readonly listen: string;
    readonly pg_hba: readonly string[];
    readonly pg_ident: readonly string[];
    readonly parameters: Record<string, string | number | boolean>;
    readonly authentication: Record<string, Record<string, string>>;
  };
}

describe("etcd of a control server", () => {
  const lines = contentOf(etcdFiles(options), "/etc/default/etcd").split("\n");

  test("knows the three by name and address, in the same words on each", () => {
    expect(lines).toContain("ETCD_NAME=control2");
    const cluster = "ETCD_INITIAL_CLUSTER=control1=https://10.77.5.2:2380,control2=https://10.77.5.3:2380,control3=https://10.77.5.4:2380";
    expect(lines).toContain(cluster);
    expect(contentOf(etcdFiles({ ...options, server: "control1", address: "10.77.5.2" }), "/etc/default/etcd")).toContain(cluster);
  });

  test("begins with the other two, or among two that are there already", () => {
    expect(lines).toContain("ETCD_INITIAL_CLUSTER_STATE=new");
    const again = contentOf(etcdFiles({ ...options, rejoins: true }), "/etc/default/etcd").split("\n");
    expect(again).toContain("ETCD_INITIAL_CLUSTER_STATE=existing");
  });

  test("listens only with TLS, on its own address and for itself, and asks clients and peers for certificates", () => {
    const listening = lines.filter((line) => line.startsWith("ETCD_LISTEN_"));
    expect(listening).toEqual([
      "ETCD_LISTEN_CLIENT_URLS=https://10.77.5.3:2379,https://127.0.0.1:2379",
      "ETCD_LISTEN_PEER_URLS=https://10.77.5.3:2380",
    ]);
    for (const prefix of ["", "PEER_"]) {
      expect(lines).toContain(`ETCD_${prefix}CLIENT_CERT_AUTH=true`);
      expect(lines).toContain(`ETCD_${prefix}TRUSTED_CA_FILE=/etc/boxyard/peers/ca.pem`);
    }
  });
});

describe("Patroni of a control server", () => {
  test("is started by the guard that keeps it from taking back a lock that it has lost, and by nothing else", () => {
    const unit = contentOf(patroniFiles(options), "/etc/systemd/system/patroni.service.d/boxyard.conf").split("\n");
    const [cleared, ...starts] = unit.filter((line) => line.startsWith("ExecStart="));
    expect(cleared).toBe("ExecStart=");
    expect(starts).toEqual([expect.stringMatching(/ -P \/opt\/boxyard\/current\/src\/control\/setup\/guarded-patroni\.py /)]);
    expect(existsSync(new URL("guarded-patroni.py", import.meta.url))).toBe(true);
  });

  test("is not told how to make a database, so that it never makes an empty one", () => {
    expect(Object.keys(patroni())).not.toContain("bootstrap");
  });

  test("asks etcd on all three, and whoever asks it for a certificate", () => {
    expect(patroni().etcd3.hosts).toEqual(["10.77.5.2:2379", "10.77.5.3:2379", "10.77.5.4:2379"]);
    expect(patroni().restapi).toMatchObject({ listen: "10.77.5.3:8008", verify_client: "required", cafile: "/etc/boxyard/peers/ca.pem" });
  });

  test("lets nobody into PostgreSQL over the network but the three, by certificate, for what keeps copies", () => {
    const overNetwork = patroni().postgresql.pg_hba.filter((line) => !line.startsWith("local "));
    expect(overNetwork).toEqual(
      members.flatMap(({ address }) => [
        `hostssl replication replicator ${address}/32 cert map=peers`,
        `hostssl postgres rewinder ${address}/32 cert map=peers`,
      ]),
    );
    const accounts = new Set(patroni().postgresql.pg_ident.map((line) => line.split(" ")[2]));
    expect([...accounts].sort()).toEqual(["replicator", "rewinder"]);
  });

  test("has no password", () => {
    expect(JSON.stringify(patroni())).not.toMatch(/password/i);
    for (const account of ["replication", "rewind"])
      expect(patroni().postgresql.authentication[account]).toMatchObject({ sslmode: "verify-full" });
  });

  test("does not leave a PostgreSQL behind when it dies", () => {
    expect(contentOf(patroniFiles(options), "/etc/systemd/system/patroni.service.d/boxyard.conf")).toContain("KillMode=mixed");
  });
});

describe("what the three do alike", () => {
  const { ttl, loop_wait, retry_timeout, ...rest } = JSON.parse(renderConfiguration()) as Record<string, number>;

  test("the leader gives up before its lease is another's", () => {
    expect(ttl).toBeGreaterThanOrEqual(Number(loop_wait) + 2 * Number(retry_timeout));
  });

  test("what was answered lies on two servers, and a leader that no copy follows goes on", () => {
    expect(rest).toMatchObject({ synchronous_mode: true, synchronous_mode_strict: false, synchronous_node_count: 1 });
  });
});

describe("as files", () => {
  /** Of a PostgreSQL of its own, whose settings are changed here: its sockets, and its data directory. */
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "boxyard-replica-"));
    await ensureServer(folder);
  });
  afterAll(async () => {
    await stopServer(folder);
    await rm(folder, { recursive: true, force: true });
  });
  const query = async (sql: string): Promise<string> =>
    (await run(["psql", "-h", folder, "-U", "boxyard", "-d", "postgres", "-XtAc", sql])).stdout.trim();
  const place = async (name: string, content: string): Promise<string> => {
    const path = join(folder, "data", name);
    const { uid, gid } = await stat(join(folder, "data"));
    await writeFile(path, content, { mode: 0o600 });
    await chown(path, uid, gid);
    return path;
  };

  test("etcd and Patroni configuration is as its golden file", async () => {
    await expect(goldenText(etcdFiles(options))).toMatchFileSnapshot("golden/etcd");
    await expect(goldenText(patroniFiles(options))).toMatchFileSnapshot("golden/patroni");
    await expect(`${JSON.stringify(JSON.parse(renderConfiguration()), null, 2)}\n`).toMatchFileSnapshot("golden/configuration.json");
  });

  test("PostgreSQL's settings are known to it and within its bounds", async () => {
    const { parameters } = patroni().postgresql;
    const ofAll = (JSON.parse(renderConfiguration()) as { postgresql: { parameters: typeof parameters } }).postgresql.parameters;
    for (const [name, value] of Object.entries({ ...parameters, ...ofAll })) {
      // What PostgreSQL does not know or does not take, it refuses here; so it would at its start.
      await query(`alter system set ${name} = '${value}'`);
    }
    await run(["psql", "-h", folder, "-U", "boxyard", "-d", "postgres", "-XtAc", "alter system reset all"]);
    await expect(query("alter system set wal_keep_sizes = '128MB'")).rejects.toThrow("unrecognized configuration parameter");
  });

  test("PostgreSQL takes every line of who may connect, and as whom", async () => {
    const certificate = await issueCertificate(await createAuthority("acme"), { commonName: "control2", dnsNames: [], validDays: 1 });
    for (const [setting, name, content] of [
      ["ssl_cert_file", "certificate.pem", certificate.certificatePem],
      ["ssl_key_file", "key.pem", certificate.keyPem],
      ["ssl_ca_file", "ca.pem", certificate.certificatePem],
    ] as const)
      await query(`alter system set ${setting} = '${await place(name, content)}'`);
    await query("alter system set ssl = on");
    await query("select pg_reload_conf()");
    // It reads its files a moment later, and must not find those of below: they let nobody in who is root.
    await until("PostgreSQL to use TLS", async () => ((await query("show ssl")) === "on" ? true : null), {
      timeoutMs: 20_000,
      everyMs: 20,
    });
    const { pg_hba, pg_ident } = patroni().postgresql;
    await place("pg_hba.conf", `${pg_hba.join("\n")}\n`);
    await place("pg_ident.conf", `${pg_ident.join("\n")}\n`);
    expect(await query("select error from pg_hba_file_rules where error is not null")).toBe("");
    expect(Number(await query("select count(*) from pg_hba_file_rules"))).toBe(pg_hba.length);
    expect(await query("select error from pg_ident_file_mappings where error is not null")).toBe("");
    expect(Number(await query("select count(*) from pg_ident_file_mappings"))).toBe(pg_ident.length);
    // It does look: a line that is none has an error.
    await place("pg_hba.conf", "hostssl postgres rewinder 10.77.5.2/99 cert\n");
    expect(await query("select error from pg_hba_file_rules where error is not null")).not.toBe("");
  });
});
