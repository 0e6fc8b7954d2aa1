import { Fault } from "#base/fault.ts";
import { endHook, runHook } from "#contract/actions/hook.ts";
import type { ServerSpec } from "#contract/spec/server.ts";
import type { ShellSpec } from "#contract/spec/shell.ts";
import { configuration } from "../../converge/configuration.ts";
import { directory } from "../../converge/file.ts";
import type { Resource, ResourceGroup } from "../../converge/resource.ts";
import { systemctl, unit } from "../../converge/unit.ts";
import { sharedDirectories, websiteAccount } from "../../website/account.ts";
import { answerReleaseActions } from "../../website/actions.ts";
import { accountsApart } from "../../website/neighbours.ts";
import { sitePaths } from "../../website/paths.ts";
import { PackSource } from "../../website/releases/pack-source.ts";
import { WebsiteReleases } from "../../website/releases/website-releases.ts";
import { fewReleases, liveRelease, noLeftSeeds, noOtherWebsites, spareRelease } from "../../website/resources.ts";
import { snippets } from "../../website/snippets/snippets.ts";
import { websiteFacts } from "../../website/snippets/website-facts.ts";
import { systemAuthorities } from "../../website/system-authorities.ts";
import type { StartRole } from "../role.ts";
import { ENVIRONMENT_OWNS, environmentFiles } from "./environment.ts";
import { homeLink } from "./home-link.ts";
import { begunHooks, HookRunner } from "./hooks.ts";
import { SSH_OWNS, sshFiles } from "./ssh.ts";

/** Begins the shell role: SSH, SFTP and cron with the websites' own accounts, and its part in deployments. */
export const startShell: StartRole<ShellSpec> = async (context) => {
  const { enrolment, fabric, log, currentSpec } = context;
  const carried = (): ShellSpec | null => currentSpec()?.roles.shell ?? null;
  const releases = new WebsiteReleases({ packs: new PackSource(enrolment), log, carried });
  answerReleaseActions(context, releases);
  const hooks = new HookRunner(releases, carried);
  fabric.answer(runHook, (asked) => {
    if (!carried()?.websites.some(({ id }) => id === asked.website))
      throw new Fault("release.unknown-website", `this server does not carry website ${asked.website}`);
    return hooks.run(asked);
  });
  fabric.answer(endHook, (asked) => hooks.end(asked));
  return {
    groups: (spec, _server: ServerSpec) => shellGroups(spec, { releases, caPem: enrolment.caPem }),
    releases: () => releases.liveOfAll(),
    stop: async () => releases.close(),
  };
};

/** What a shell server should have and be. */
export function shellGroups(spec: ShellSpec, { releases, caPem }: { releases: WebsiteReleases; caPem: string }): ResourceGroup[] {
  return [
    { name: "accounts", resources: accountsApart() },
    { name: "websites", resources: [...sharedDirectories(), systemAuthorities(caPem)] },
    ...spec.websites.map((website) => ({
      name: `website ${website.id}`,
      resources: [...websiteAccount(website, "/bin/bash"), homeLink(website), snippets(websiteFacts(website, spec.cluster))],
    })),
    { name: "access", resources: access(spec) },
    ...spec.websites.map((website) => ({
      name: `releases of ${website.id}`,
      resources: [liveRelease(website, releases), fewReleases(website, releases), spareRelease(website, releases), noLeftSeeds(website)],
    })),
  ];
}

/** Keys go before accounts, and shared files last: this server alone removes them. */
function access(spec: ShellSpec): Resource[] {
  return [
    directory({ path: "/run/sshd" }),
    directory({ path: "/etc/boxyard/keys", mode: 0o711 }),
    configuration({
      id: "accounts' environment",
      files: environmentFiles(spec),
      owns: ENVIRONMENT_OWNS,
      check: null,
      activate: [],
    }),
    configuration({
      id: "sshd",
      files: sshFiles(spec),
      owns: SSH_OWNS,
      check: ["/usr/sbin/sshd", "-t"],
      // Enabled before its first start: systemd loses track of a running unit that gains an alias.
      activate: [systemctl.atBoot("enable", "ssh.service"), systemctl.act("reload-or-restart", "ssh.service")],
    }),
    unit({ unit: "ssh.service", running: true, atBoot: true }),
    unit({ unit: "cron.service", running: true, atBoot: true }),
    noOtherWebsites(spec.websites, (id) => [`/var/spool/cron/crontabs/${id}`, begunHooks(id), sitePaths(id).files]),
  ];
}
