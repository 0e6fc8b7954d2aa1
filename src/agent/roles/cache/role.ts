import { Fault } from "#base/fault.ts";
import { type Argv, run } from "#base/run.ts";
import { banPages, holdRequests, letGo } from "#contract/actions/cache.ts";
import type { CacheSpec } from "#contract/spec/cache.ts";
import { configuration } from "../../converge/configuration.ts";
import { nftTable } from "../../converge/nft-table.ts";
import { systemctl, unit } from "../../converge/unit.ts";
import type { RoleContext, RunningRole } from "../role.ts";
import { untilIdle } from "../until-idle.ts";
import { CLIENTS, CLIENTS_DROP_IN, CLIENTS_TABLE, memcachedClients } from "./clients.ts";
import { Holds } from "./holds.ts";
import { renderVcl } from "./vcl.ts";

const VCL_PATH = "/etc/varnish/boxyard.vcl";
const DROP_IN = "/etc/systemd/system/varnish.service.d/boxyard.conf";

/** Where varnishreload finds its varnishadm. */
const RELOAD_PATH = "/etc/varnish/boxyard";
const SYSCTL = "/etc/sysctl.d/50-boxyard.conf";

const WARM_UP_SECONDS = 1;
/** As long as a cache that has just begun waits for a box that is well; without any it begins all the same. */
const FIRST_BOX_SECONDS = 5;

/** varnishadm's commands as data. */
const varnishadm = {
  /** Bans are told to the running Varnish; ids and commits in them are checked by the action's schema. */
  ban: (expression: string): Argv => ["varnishadm", "-t", "5", "--", "ban", ...expression.split(" ")],
};

/** A cache server: Varnish in front of the cluster's boxes, and memcached for its applications. */
export async function startCache({ fabric }: RoleContext): Promise<RunningRole<CacheSpec>> {
  fabric.answer(banPages, async ({ website, keep }) => {
    const ofWebsite = `obj.http.X-Boxyard-Site == ${website}`;
    const expression = keep === null ? ofWebsite : `${ofWebsite} && obj.http.X-Boxyard-Release != ${keep}`;
    await run(varnishadm.ban(expression)).catch((cause: unknown) => {
      throw new Fault("cache.varnish-down", "Varnish does not take the ban", { cause });
    });
    return { banned: true as const };
  });
  const holds = new Holds();
  await holds.start();
  fabric.answer(holdRequests, async ({ website, ...hold }) => {
    await holds.hold(website, hold);
    return { held: true as const };
  });
  fabric.answer(letGo, async ({ website }) => {
    await holds.letGo(website);
    return { held: false as const };
  });
  return {
    groups: (spec, { address }) => [
      {
        name: "varnish",
        resources: [
          configuration({
            id: "network",
            files: [{ path: SYSCTL, content: sysctl() }],
            check: null,
            activate: [["sysctl", "--quiet", "--load", SYSCTL]],
          }),
          configuration({
            id: "varnish-service",
            files: [
              { path: DROP_IN, content: varnishDropIn(spec) },
              { path: `${RELOAD_PATH}/varnishadm`, content: patientVarnishadm(), mode: 0o755 },
            ],
            check: null,
            activate: [systemctl.daemonReload(), whenIdle(), systemctl.act("try-restart", "varnish.service")],
            restarts: "varnish.service",
          }),
          configuration({
            id: "varnish-vcl",
            files: [{ path: VCL_PATH, content: renderVcl(spec) }],
            check: ["varnishd", "-C", "-f", VCL_PATH],
            // varnishreload loads the file under a new name and uses it; requests go on meanwhile. Old ones stay, and probe no more after ten minutes.
            activate: [systemctl.atBoot("enable", "varnish.service"), systemctl.act("reload-or-restart", "varnish.service")],
          }),
          unit({ unit: "varnish.service", running: true, atBoot: true }),
        ],
      },
      {
        name: "memcached",
        resources: [
          // Apart from memcached's own: which boxes there are changes often, and a restart would empty it.
          configuration({
            id: "memcached-clients",
            files: [{ path: CLIENTS, content: memcachedClients(spec.purgers) }, CLIENTS_DROP_IN],
            check: ["nft", "--check", "-f", CLIENTS],
            activate: [systemctl.daemonReload()],
          }),
          nftTable(CLIENTS_TABLE),
          configuration({
            id: "memcached",
            files: [{ path: "/etc/memcached.conf", content: memcachedConfig(spec, address) }],
            check: null,
            activate: [systemctl.atBoot("enable", "memcached.service"), systemctl.act("restart", "memcached.service")],
            restarts: "memcached.service",
          }),
          unit({ unit: "memcached.service", running: true, atBoot: true }),
        ],
      },
    ],
    stop: async () => holds.stop(),
  };
}

/** Whether Varnish has no request in hand. */
function whenIdle(): Argv {
  return untilIdle("varnishstat -1 -t 0 -f 'MEMPOOL.req*.live' | awk '{ live += $2 } END { exit live > 0 }'");
}

/**
 * What a cache sends to a box that has gone is given up after some 12 s (see tcp(7)), so that another box is asked; left to
 * itself the kernel tries for a quarter of an hour. Visitors, who are far away, are the edges' business.
 */
function sysctl(): string {
  return "# Written by Boxyard.\nnet.ipv4.tcp_retries2 = 5\n";
}

/** How Varnish is started, in tests too. */
export const VARNISH_PARAMETERS = [
  "ban_lurker_age=1",
  "thread_pool_min=50",
  // What names no lifetime has none.
  "default_ttl=0",
  // So long a connection may be idle, and an upload may pause: longer than the edges keep either, so that no cache closes a
  // connection on which a request is on its way.
  "timeout_idle=65",
] as const;

export function varnishDropIn({ varnishMegabytes }: CacheSpec): string {
  const command = [
    "/usr/sbin/varnishd",
    "-j unix,user=vcache",
    "-F",
    "-a :80",
    "-T localhost:6082",
    `-f ${VCL_PATH}`,
    "-S /etc/varnish/secret",
    `-s malloc,${varnishMegabytes}m`,
    ...VARNISH_PARAMETERS.map((parameter) => `-p ${parameter}`),
  ];
  // A new VCL probes the boxes for this long before it gets visitors: used at once, it would take all of them for sick.
  const reload = `/usr/bin/env PATH=${RELOAD_PATH}:/usr/bin:/bin /usr/share/varnish/varnishreload -w ${WARM_UP_SECONDS} ${VCL_PATH}`;
  // So does a new Varnish: it counts as started when it knows of a box, and no sooner is a new cache given visitors.
  const isOneWell = "/usr/bin/varnishadm backend.list | grep -Eq ' [1-9][0-9]*/[0-9]+ +(good|healthy)'";
  const firstBox = `/usr/bin/timeout ${FIRST_BOX_SECONDS} /bin/sh -c "until ${isOneWell}; do sleep 0.1; done"`;
  return [
    "# Written by Boxyard.",
    "[Service]",
    "ExecStart=",
    `ExecStart=${command.join(" ")}`,
    `ExecStartPost=-${firstBox}`,
    "ExecReload=",
    `ExecReload=${reload}`,
    "Restart=always",
    "RestartSec=1",
    "",
  ].join("\n");
}

/** A busy server compiles a VCL for longer than the 5 s after which varnishadm gives up by itself. */
function patientVarnishadm(): string {
  return '#!/bin/sh\n# Written by Boxyard.\nexec /usr/bin/varnishadm -t 60 "$@"\n';
}

/** It listens on the server's address, and without UDP. */
function memcachedConfig({ memcachedMegabytes }: CacheSpec, address: string): string {
  return [
    "# Written by Boxyard.",
    "-d",
    "logfile /var/log/memcached.log",
    `-m ${memcachedMegabytes}`,
    "-p 11211",
    "-u memcache",
    `-l ${address}`,
    "-U 0",
    "-c 4096",
    "-P /var/run/memcached/memcached.pid",
    "",
  ].join("\n");
}
