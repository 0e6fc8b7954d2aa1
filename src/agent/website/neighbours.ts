import { readFile } from "node:fs/promises";
import { run } from "#base/run.ts";
import { configuration } from "../converge/configuration.ts";
import type { Resource } from "../converge/resource.ts";
import { systemctl } from "../converge/unit.ts";

const UNIT = "boxyard-proc.service";

/** At boot before anything of a tenant runs. One mount is enough: units with mounts of their own see the same /proc. */
const PROC_UNIT = `# Written by Boxyard.
[Unit]
Description=Accounts see no processes but their own
DefaultDependencies=no
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/mount -o remount,nosuid,nodev,noexec,hidepid=invisible /proc

[Install]
WantedBy=sysinit.target
`;

/** logind looks up the processes that sessions begin with, and is root without the right to. */
const LOGIND = `# Written by Boxyard.
[Service]
CapabilityBoundingSet=CAP_SYS_PTRACE
`;

/** systemd tells everyone who asks what every unit and login runs (GetUnitProcesses), whatever /proc hides. Root may still ask. */
const BUS = `<busconfig>
  <policy context="default">
    <deny send_destination="org.freedesktop.systemd1"/>
    <deny send_destination="org.freedesktop.login1"/>
  </policy>
</busconfig>
`;

/** An account sees its own processes and no others', neither in /proc nor by asking systemd; for servers that run tenants' programs. */
export function accountsApart(): Resource[] {
  return [
    configuration({
      id: "what accounts see of each other",
      files: [
        { path: `/etc/systemd/system/${UNIT}`, content: PROC_UNIT },
        { path: "/etc/systemd/system/systemd-logind.service.d/boxyard.conf", content: LOGIND },
        { path: "/etc/dbus-1/system.d/boxyard.conf", content: BUS },
      ],
      check: null,
      activate: [
        systemctl.atBoot("enable", UNIT),
        systemctl.daemonReload(),
        systemctl.act("try-restart", "systemd-logind.service"),
        systemctl.act("reload", "dbus.service"),
      ],
    }),
    {
      id: "processes of other accounts",
      mismatch: async () => (hidesProcesses(await readFile("/proc/self/mountinfo", "utf8")) ? null : "are shown in /proc"),
      apply: async () => {
        await run(systemctl.act("restart", UNIT));
      },
    },
  ];
}

/** Whether /proc, in the form of /proc/self/mountinfo, shows an account its own processes only. */
export function hidesProcesses(mounts: string): boolean {
  const proc = mounts.split("\n").findLast((line) => line.split(" ")[4] === "/proc");
  return /(^|,)hidepid=(invisible|2)(,|$)/.test(proc?.split(" ").at(-1) ?? "");
}
