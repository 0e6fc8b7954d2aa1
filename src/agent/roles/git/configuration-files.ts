import { fileURLToPath } from "node:url";
import type { GitSpec } from "#contract/spec/git.ts";
import { USUAL_LIMITS, type WorkLimits } from "#contract/work-settings.ts";
import type { ConfigurationFile } from "../../converge/configuration.ts";
import { branchRef } from "./git-command.ts";
import type { GitWebsite } from "./push-desk.ts";

/** Where the git server keeps what is its own. */
export const GIT_PATHS = {
  repositories: "/srv/git",
  records: "/var/lib/boxyard/pushes",
  packs: "/var/lib/boxyard/packs",
  sockets: "/run/boxyard/push",
  keys: "/etc/boxyard/keys",
  hostKey: "/etc/ssh/boxyard_host_key",
  sshd: "/etc/ssh/sshd_config",
} as const;

/** A path beside this file, in the form that stays when the platform is upgraded. */
function beside(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url)).replace(/^\/opt\/boxyard\/releases\/[^/]+\//, "/opt/boxyard/current/");
}

const ENTRY = beside("entry.sh");
const HOOKS = beside("hooks");

/** The keys that open a website's account, as sshd reads them. */
export function keyFile({ authorizedKeys }: Pick<GitWebsite, "authorizedKeys">): string {
  return authorizedKeys.map((key) => `restrict ${key}\n`).join("");
}

/** sshd's whole configuration: keys only, and only Git. */
export function sshdFiles({ hostKey }: Pick<GitSpec, "hostKey">): ConfigurationFile[] {
  return [
    { path: GIT_PATHS.hostKey, content: hostKey.endsWith("\n") ? hostKey : `${hostKey}\n`, mode: 0o600 },
    { path: GIT_PATHS.sshd, content: sshdConfiguration({ entry: ENTRY, keys: GIT_PATHS.keys, hostKey: GIT_PATHS.hostKey }) },
  ];
}

export interface SshdPaths {
  readonly entry: string;
  readonly keys: string;
  readonly hostKey: string;
}

/** The text of sshd_config. */
export function sshdConfiguration({ entry, keys, hostKey }: SshdPaths): string {
  const users = Array.from({ length: 9 }, (_, index) => `s${index + 1}*`);
  return `# Written by Boxyard.
Port 22
HostKey ${hostKey}
AllowUsers ${users.join(" ")}
AuthorizedKeysFile ${keys}/%u
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UsePAM yes
ForceCommand ${entry}
DisableForwarding yes
PermitTTY no
PermitUserRC no
PermitUserEnvironment no
AcceptEnv GIT_PROTOCOL
PrintMotd no
PrintLastLog no
UseDNS no
LoginGraceTime 20
MaxAuthTries 20
MaxSessions 4
MaxStartups 50:30:200
ClientAliveInterval 30
ClientAliveCountMax 4
`;
}

/**
 * A repository's whole configuration. Real repositories have old commits with the harmless faults that are let through.
 * What is pushed stays in its pack (unpackLimit) and large files pass through without being held in memory: a small pack can unpack
 * to any size. Atomic pushes are not offered: the branch that deploys has moved, and is live, before Git moves the other refs.
 */
export function repositoryConfiguration(
  { branch }: Pick<GitWebsite, "branch">,
  { releaseMegabytes }: Pick<WorkLimits, "releaseMegabytes">,
): string {
  return `# Written by Boxyard.
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\thooksPath = ${HOOKS}
\tfsync = committed,loose-object,reference
\tfsyncMethod = batch
\tuseReplaceRefs = false
\tbigFileThreshold = 64m
[pack]
\twindowMemory = 256m
\tthreads = 2
[receive]
\tprocReceiveRefs = ${branchRef(branch)}
\tadvertiseAtomic = false
\tfsckObjects = true
\tmaxInputSize = ${Math.max(releaseMegabytes, USUAL_LIMITS.releaseMegabytes)}m
[receive "fsck"]
\tzeroPaddedFilemode = ignore
\tbadTimezone = ignore
\tmissingSpaceBeforeDate = ignore
[transfer]
\tunpackLimit = 1
\thideRefs = refs/boxyard
[gc]
\tpruneExpire = 2.weeks.ago
`;
}
