import { access, rm, writeFile } from "node:fs/promises";
import { execa } from "execa";
import { isOnYard, type StageName } from "../runner/arguments.ts";

/** Debian packages that tests need on the machine, by stage, each with a file that shows that it is there. */
const PACKAGES: Record<string, readonly { readonly name: string; readonly shows: string }[]> = {
  unit: [
    { name: "openssl", shows: "/usr/bin/openssl" },
    { name: "openssh-server", shows: "/usr/sbin/sshd" },
    { name: "openssh-client", shows: "/usr/bin/ssh" },
    { name: "postgresql", shows: "/usr/bin/pg_lsclusters" },
    { name: "nats-server", shows: "/usr/sbin/nats-server" },
    { name: "nftables", shows: "/usr/sbin/nft" },
    { name: "php-cli", shows: "/usr/bin/php" },
    { name: "php-fpm", shows: "/usr/share/doc/php-fpm" },
    { name: "php-mysql", shows: "/usr/share/doc/php-mysql" },
    { name: "php-apcu", shows: "/usr/share/doc/php-apcu" },
    { name: "libfcgi-bin", shows: "/usr/bin/cgi-fcgi" },
    { name: "mariadb-server", shows: "/usr/sbin/mariadbd" },
    { name: "tzdata", shows: "/usr/share/zoneinfo/tzdata.zi" },
    { name: "zstd", shows: "/usr/bin/zstd" },
    { name: "varnish", shows: "/usr/sbin/varnishd" },
    { name: "haproxy", shows: "/usr/sbin/haproxy" },
    { name: "apache2", shows: "/usr/sbin/apache2" },
  ],
  yard: [
    { name: "openssh-client", shows: "/usr/bin/ssh" },
    { name: "openssl", shows: "/usr/bin/openssl" },
    { name: "chromium", shows: "/usr/bin/chromium" },
    { name: "xz-utils", shows: "/usr/bin/xz" },
    { name: "libfaketime", shows: "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1" },
  ],
};

/** Keeps packaged services from starting where an install would start them: the tests start their own. */
const POLICY = "/usr/sbin/policy-rc.d";

/** Slices have tests beside the code, too. */
function neededBy(stage: StageName): string[] {
  if (stage === "unit" || stage === "yard") return [stage];
  return isOnYard(stage) ? ["unit", "yard"] : [];
}

/** Installs what the stages need and the machine lacks; does nothing, and asks no registry, when all is there. */
export async function ensureHostPackages(stages: readonly StageName[]): Promise<void> {
  const wanted = stages.flatMap(neededBy).flatMap((kind) => PACKAGES[kind] ?? []);
  const missing = await Promise.all(wanted.map(async (one) => ((await isThere(one.shows)) ? [] : [one.name])));
  const names = [...new Set(missing.flat())];
  if (names.length === 0) return;
  console.log(`── installing ${names.join(", ")}`);
  await withoutServiceStarts(async () => {
    await apt("update");
    await apt("install", "-y", "--no-install-recommends", ...names);
  });
}

async function withoutServiceStarts(install: () => Promise<void>): Promise<void> {
  if (await isThere(POLICY)) return install();
  await writeFile(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  await install().finally(() => rm(POLICY, { force: true }));
}

async function apt(...args: string[]): Promise<void> {
  await execa("apt-get", ["-qq", ...args], { env: { DEBIAN_FRONTEND: "noninteractive" }, stdio: ["ignore", "ignore", "inherit"] });
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
