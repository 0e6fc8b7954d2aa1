import { readFile, writeFile } from "node:fs/promises";
import { Fault } from "#base/fault.ts";
import { KERNEL_PROTECTIONS } from "#contract/kernel-protections.ts";

/**
 * What the kernel allows one user, and all servers of a machine are one user to it: with Debian's values a systemd in
 * the 25th server finds no inotify instance, and the server ends or has no network. The values are those that the
 * daemon's own guide gives for production.
 */
const WANTED = {
  "fs.aio-max-nr": 524_288,
  "fs.inotify.max_queued_events": 1_048_576,
  "fs.inotify.max_user_instances": 1_048_576,
  "fs.inotify.max_user_watches": 1_048_576,
  "kernel.keys.maxbytes": 2_000_000,
  "kernel.keys.maxkeys": 2_000,
  "vm.max_map_count": 262_144,
  // systemd sets them at boot, where there is one.
  ...KERNEL_PROTECTIONS,
};
const FILE = "/etc/sysctl.d/60-boxyard.conf";

interface KernelFiles {
  /** Where the kernel's settings are. */
  readonly settings: string;
  /** What sets them at boot. */
  readonly atBoot: string;
}

/** Raises the kernel's limits and protections, now and at every boot; what is higher already stays. Fault "host.limits". */
export async function ensureKernelSettings(files: KernelFiles = { settings: "/proc/sys", atBoot: FILE }): Promise<void> {
  const lower: string[] = [];
  for (const [name, wanted] of Object.entries(WANTED)) {
    const path = `${files.settings}/${name.replaceAll(".", "/")}`;
    if (Number(await readFile(path, "utf8")) >= wanted) continue;
    lower.push(name);
    await writeFile(path, `${wanted}\n`).catch((cause: unknown) => {
      throw new Fault("host.limits", `cannot set the kernel's ${name} to ${wanted}`, { cause, next: `sysctl -w ${name}=${wanted}` });
    });
  }
  if (lower.length === 0) return;
  const settings = Object.entries(WANTED).map(([name, wanted]) => `${name} = ${wanted}\n`);
  await writeFile(
    files.atBoot,
    `# Written by Boxyard: a machine with many servers needs more than Debian's values, and protected links.\n${settings.join("")}`,
  );
}
