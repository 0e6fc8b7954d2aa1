import { configuration } from "../converge/configuration.ts";
import { type MountWant, mountFlags, mountFlagsSeenBy, remount } from "../converge/mount.ts";
import type { Resource } from "../converge/resource.ts";
import { systemctl, unit } from "../converge/unit.ts";
import { SITE_ROOTS } from "./paths.ts";

const UNIT = "boxyard-files.service";

/** All that uses shared files, on boxes and on shell servers. */
const USERS = ["apache2.service", "php8.4-fpm.service", "ssh.service", "cron.service"];

/**
 * Websites write here what they like: no daemon and no root follows a link that lies there, no program gets another user's
 * rights there, and no device can be opened.
 */
const FILES: MountWant = { path: SITE_ROOTS.files, flags: ["nosymfollow", "nosuid", "nodev"] };

/** The shared files' mount, at boot before anything uses it, and in running services as well. */
export function filesMount(): Resource[] {
  return [
    configuration({
      id: "mount of shared files",
      files: [{ path: `/etc/systemd/system/${UNIT}`, content: BOOT_UNIT }],
      check: null,
      activate: [systemctl.atBoot("reenable", UNIT), systemctl.daemonReload()],
    }),
    unit({ unit: UNIT, running: true, atBoot: true }),
    mountFlags(FILES),
    ...USERS.map((user) => mountFlagsSeenBy(user, FILES)),
  ];
}

/** They do not start when the flags cannot be set: without them a website could read and change what is others'. */
const BOOT_UNIT = `# Written by Boxyard.
[Unit]
Description=Flags of the mount of websites' shared files
Before=${USERS.join(" ")}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/${remount(FILES).join(" ")}

[Install]
RequiredBy=${USERS.join(" ")}
`;
