import { Fault } from "#base/fault.ts";
import type { Argv } from "#base/run.ts";
import { readLog } from "#contract/actions/logs.ts";
import { probe } from "#contract/actions/release.ts";
import type { WebsiteId } from "#contract/names.ts";
import type { BoxSpec } from "#contract/spec/box.ts";
import type { ServerSpec } from "#contract/spec/server.ts";
import type { WebsiteOnServer } from "#contract/spec/website.ts";
import { configuration } from "../../converge/configuration.ts";
import { directory } from "../../converge/file.ts";
import { nftTable } from "../../converge/nft-table.ts";
import type { ResourceGroup } from "../../converge/resource.ts";
import { systemctl, unit } from "../../converge/unit.ts";
import { member } from "../../converge/user.ts";
import { sharedDirectories, websiteAccount } from "../../website/account.ts";
import { answerReleaseActions } from "../../website/actions.ts";
import { accountsApart } from "../../website/neighbours.ts";
import { logDirectory } from "../../website/paths.ts";
import { PackSource } from "../../website/releases/pack-source.ts";
import { probeWebsite } from "../../website/releases/probe.ts";
import { WebsiteReleases } from "../../website/releases/website-releases.ts";
import { fewReleases, liveRelease, noLeftSeeds, noOtherWebsites, spareRelease } from "../../website/resources.ts";
import { snippets } from "../../website/snippets/snippets.ts";
import { mainDomain, websiteFacts } from "../../website/snippets/website-facts.ts";
import { systemAuthorities } from "../../website/system-authorities.ts";
import type { RoleContext, StartRole } from "../role.ts";
import { untilIdle } from "../until-idle.ts";
import { APACHE_OWNS, apacheFiles } from "./apache.ts";
import { OUTGOING, OUTGOING_DROP_IN, OUTGOING_RULES, OUTGOING_TABLE } from "./containment.ts";
import { startHealth } from "./health.ts";
import { readLogFile } from "./log-reader.ts";
import { PHP_OWNS, phpFiles } from "./php.ts";
import { warmRelease } from "./warm.ts";

/** Begins the box role: Apache and a PHP-FPM pool for each website, and its part in deployments. */
export const startBox: StartRole<BoxSpec> = async (context) => {
  const { enrolment, log, currentSpec, isConverged, isConfirmed } = context;
  const carried = (): BoxSpec | null => currentSpec()?.roles.box ?? null;
  const releases = new WebsiteReleases({
    packs: new PackSource(enrolment),
    log,
    carried,
    onStaged: (website, staged, signal) => warmRelease({ website, staged, log, signal }),
    onSwitched: () => health.look(),
  });
  answerReleaseActions(context, releases);
  answerBoxActions(context, carried);
  const health = startHealth({ isConverged, isConfirmed, websites: () => carried()?.websites ?? null, releases, log });
  return {
    groups: (spec, server) => boxGroups(spec, { server, releases, caPem: enrolment.caPem }),
    releases: () => releases.liveOfAll(),
    look: () => health.look(),
    stop: async () => {
      health.stop();
      releases.close();
    },
  };
};

interface BoxParts {
  readonly server: Pick<ServerSpec, "server">;
  readonly releases: WebsiteReleases;
  readonly caPem: string;
}

/** What a box should have and be. */
export function boxGroups(spec: BoxSpec, { server, releases, caPem }: BoxParts): ResourceGroup[] {
  return [
    { name: "accounts", resources: accountsApart() },
    { name: "websites", resources: [...sharedDirectories(), systemAuthorities(caPem), logRotation()] },
    ...spec.websites.map((website) => ({ name: `website ${website.id}`, resources: websiteOnBox(website, spec.cluster) })),
    { name: "web server", resources: webServer(spec, server.server) },
    ...spec.websites.map((website) => ({
      name: `releases of ${website.id}`,
      resources: [liveRelease(website, releases), fewReleases(website, releases), spareRelease(website, releases), noLeftSeeds(website)],
    })),
  ];
}

function websiteOnBox(website: WebsiteOnServer, cluster: BoxSpec["cluster"]) {
  return [
    ...websiteAccount(website, "/usr/sbin/nologin"),
    member({ user: "www-data", group: website.id }),
    directory({ path: logDirectory(website.id), mode: 0o750, group: website.id }),
    snippets(websiteFacts(website, cluster)),
  ];
}

/** Accounts of removed websites go after their pools: PHP-FPM refuses a pool whose user is not there. */
function webServer(spec: BoxSpec, server: string) {
  return [
    configuration({
      id: "php-fpm",
      files: phpFiles(spec),
      owns: PHP_OWNS,
      check: ["php-fpm8.4", "-t"],
      activate: [["systemctl", "reload-or-restart", "php8.4-fpm"]],
    }),
    unit({ unit: "php8.4-fpm.service", running: true, atBoot: true }),
    // What the unit has of its own: a reload does not take it.
    configuration({
      id: "apache-service",
      files: [{ path: OUTGOING, content: OUTGOING_RULES }, OUTGOING_DROP_IN],
      check: ["nft", "--check", "-f", OUTGOING],
      activate: [systemctl.daemonReload(), whenIdle(), systemctl.act("try-restart", "apache2.service")],
      restarts: "apache2.service",
    }),
    nftTable(OUTGOING_TABLE),
    configuration({
      id: "apache",
      files: apacheFiles(spec, server),
      owns: APACHE_OWNS,
      check: ["apache2ctl", "-t"],
      activate: [["systemctl", "reload-or-restart", "apache2"]],
    }),
    unit({ unit: "apache2.service", running: true, atBoot: true }),
    noOtherWebsites(spec.websites, (id) => [logDirectory(id)]),
  ];
}

/** Each request of a cache has a connection of its own. */
function whenIdle(): Argv {
  return untilIdle("! ss --no-header --tcp --numeric state established '( sport = :80 )' | grep -q .");
}

const ROTATION = "/etc/logrotate.d/boxyard";

/**
 * A log begins again each month, or within the hour in which it is larger than 100 MB; four earlier ones are kept. The
 * newest of them is not compressed: requests that began before the reload are still to be written there.
 */
const WEBSITE_LOGS = `# Written by Boxyard.
/var/log/boxyard/*/*.log {
  monthly
  maxsize 100M
  rotate 4
  compress
  delaycompress
  missingok
  notifempty
  sharedscripts
  postrotate
    systemctl try-reload-or-restart apache2
  endscript
}
`;

function logRotation() {
  return configuration({
    id: "website-logs",
    files: [{ path: ROTATION, content: WEBSITE_LOGS }],
    check: ["logrotate", "--debug", ROTATION],
    activate: [],
  });
}

function answerBoxActions({ fabric }: RoleContext, carried: () => BoxSpec | null): void {
  const find = (id: WebsiteId): WebsiteOnServer => {
    const website = carried()?.websites.find((one) => one.id === id);
    if (website === undefined) throw new Fault("release.unknown-website", `this box does not carry website ${id}`);
    return website;
  };
  fabric.answer(probe, ({ website, path }, { signal }) => probeWebsite({ host: mainDomain(find(website)), path, signal }));
  fabric.answer(readLog, ({ website, kind, lines, after }) =>
    readLogFile({ path: `${logDirectory(find(website).id)}/${kind}.log`, lines, after }),
  );
}
