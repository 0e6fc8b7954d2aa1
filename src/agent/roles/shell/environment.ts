import type { WebsiteId } from "#contract/names.ts";
import type { ShellSpec } from "#contract/spec/shell.ts";
import type { ConfigurationFile } from "../../converge/configuration.ts";
import { environmentForPam } from "../../website/snippets/environment.ts";
import { websiteFacts } from "../../website/snippets/website-facts.ts";

const ENVIRONMENTS = "/etc/boxyard/environment";

/** A website's variables, a line each: NAME=value. */
export function environmentFileOf(website: WebsiteId): string {
  return `${ENVIRONMENTS}/${website}`;
}

/** Environments of removed websites go away. */
export const ENVIRONMENT_OWNS = [{ directory: ENVIRONMENTS, pattern: /^s\d+$/ }];

/** Gives each account its website's variables by PAM: in logins, in single commands over SSH and in cron's jobs alike. */
export function environmentFiles({ websites, cluster }: ShellSpec): ConfigurationFile[] {
  return [
    ...websites.map((website) => ({
      path: environmentFileOf(website.id),
      content: environmentForPam(websiteFacts(website, cluster)),
      mode: 0o600,
    })),
    { path: "/etc/pam.d/boxyard-environment", content: perAccount(websites.map((website) => website.id)) },
    { path: "/etc/pam.d/sshd", content: SSHD },
    { path: "/etc/pam.d/cron", content: CRON },
    { path: "/etc/cron.allow", content: websites.map((website) => `${website.id}\n`).join("") },
  ];
}

/** The first line of each pair skips the second for everybody else. */
function perAccount(users: readonly string[]): string {
  const pairs = users.flatMap((user) => [
    `session [success=1 default=ignore] pam_succeed_if.so quiet user != ${user}`,
    `session optional pam_env.so conffile=/dev/null envfile=${ENVIRONMENTS}/${user}`,
  ]);
  return ["# Written by Boxyard.", ...pairs, "session optional pam_permit.so", ""].join("\n");
}

const SSHD = `# Written by Boxyard.
@include common-auth
account required pam_nologin.so
@include common-account
session optional pam_loginuid.so
session optional pam_keyinit.so force revoke
@include common-session
session required pam_limits.so
session required pam_env.so
session required pam_env.so envfile=/etc/default/locale
@include boxyard-environment
@include common-password
`;

const CRON = `# Written by Boxyard.
@include common-auth
session optional pam_loginuid.so
session required pam_env.so
session required pam_env.so envfile=/etc/default/locale
@include boxyard-environment
@include common-account
@include common-session-noninteractive
session required pam_limits.so
`;
