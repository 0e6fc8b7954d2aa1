import type { ShellSpec } from "#contract/spec/shell.ts";
import type { ConfigurationFile } from "../../converge/configuration.ts";

const KEYS = "/etc/boxyard/keys";
const HOST_KEY = "/etc/ssh/boxyard_host_key";

/** Keys of removed websites go away. */
export const SSH_OWNS = [{ directory: KEYS, pattern: /^s\d+$/ }];

/** What sshd needs to know. */
interface SshSpec extends Pick<ShellSpec, "hostKey"> {
  readonly websites: readonly Pick<ShellSpec["websites"][number], "id" | "authorizedKeys">[];
}

/** sshd's whole configuration, its host key and the keys that open each account; accounts cannot change any of them. */
export function sshFiles({ websites, hostKey }: SshSpec): ConfigurationFile[] {
  return [
    { path: HOST_KEY, content: hostKey, mode: 0o600 },
    { path: "/etc/ssh/sshd_config", content: serverFile(websites.map((website) => website.id)) },
    ...websites.map(({ id, authorizedKeys }) => ({
      path: `${KEYS}/${id}`,
      content: authorizedKeys.map((key) => `${key}\n`).join(""),
      mode: 0o640,
      group: id,
    })),
  ];
}

function serverFile(users: readonly string[]): string {
  return `# Written by Boxyard.
Port 22
HostKey ${HOST_KEY}
${users.length === 0 ? "DenyUsers *" : `AllowUsers ${users.join(" ")}`}
AuthorizedKeysFile ${KEYS}/%u
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UsePAM yes
PermitUserEnvironment no
AllowAgentForwarding no
AllowTcpForwarding no
AllowStreamLocalForwarding no
X11Forwarding no
PermitTunnel no
PrintMotd no
MaxAuthTries 20
ClientAliveInterval 60
ClientAliveCountMax 3
Subsystem sftp internal-sftp
`;
}
