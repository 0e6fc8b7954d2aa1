import { Fault } from "#base/fault.ts";
import { findCommit, settlePush } from "#contract/actions/git.ts";
import type { GitSpec } from "#contract/spec/git.ts";
import { USUAL_LIMITS, type WorkLimits } from "#contract/work-settings.ts";
import { configuration } from "../../converge/configuration.ts";
import { directory } from "../../converge/file.ts";
import type { ResourceGroup } from "../../converge/resource.ts";
import { systemctl, unit } from "../../converge/unit.ts";
import { accountsApart } from "../../website/neighbours.ts";
import type { StartRole } from "../role.ts";
import { type CommitRules, checkCommit } from "./check-commit.ts";
import { GIT_PATHS, sshdFiles } from "./configuration-files.ts";
import { PackService, type PackServiceOptions } from "./pack-service.ts";
import { PackStore } from "./pack-store.ts";
import { type DeskOptions, type GitWebsite, PushDesk } from "./push-desk.ts";
import { PushRecords } from "./push-records.ts";
import { PushSockets } from "./push-sockets.ts";
import { keys, noOtherRepositories, repositoryOf, websiteRepository } from "./website-resources.ts";

/** Begins the git role: takes pushes, hands them to control, and gives packs to the servers that carry the websites. */
export const startGit: StartRole<GitSpec> = async ({ enrolment, fabric, log, currentSpec }) => {
  const websites = (): readonly GitWebsite[] => currentSpec()?.roles.git?.websites ?? [];
  const limits = (): WorkLimits => currentSpec()?.roles.git?.limits ?? USUAL_LIMITS;
  const rulesFor = ({ environment }: GitWebsite): CommitRules => ({
    label: environment,
    limits: limits(),
  });
  const packs = new PackStore(GIT_PATHS.packs);
  const records = new PushRecords(GIT_PATHS.records);
  const onExpected: DeskOptions["onExpected"] = (website, commit, have) =>
    packs.prepare({ repository: repositoryOf(website), commit, have });
  // Each control server has a broker.
  const maybeTakenOver = (): boolean => (currentSpec()?.brokers.length ?? 0) > 1;
  const server = enrolment.server;
  const desk = new PushDesk({ fabric, log, server, records, websites, repositoryOf, rulesFor, maybeTakenOver, onExpected });
  const sockets = new PushSockets(GIT_PATHS.sockets, (website, request, say) => desk.take(website, request, say));
  const neededOf: PackServiceOptions["neededOf"] = ({ id, release, goodReleases }) => {
    const underWay = records.of(id).flatMap(({ push, outcome }) => (outcome === null ? [push.commit] : []));
    return [...(release === null ? [] : [release]), ...goodReleases, ...underWay];
  };
  const service = new PackService({ enrolment, log, packs, websites, repositoryOf, neededOf, limits });
  await packs.start();
  await desk.start();
  fabric.answer(settlePush, (outcome) => desk.settle(outcome));
  fabric.answer(findCommit, async ({ website: id, revision }) => {
    const website = websites().find((one) => one.id === id);
    if (website === undefined) throw new Fault("git.unknown-website", `there is no website ${id} here yet`);
    const commit = await repositoryOf(website).findCommit(revision);
    if (commit !== null) return { commit, ...(await checkCommit(repositoryOf(website), commit, rulesFor(website))) };
    throw new Fault("git.unknown-revision", `the repository of ${id} has no branch, tag or commit ${revision}`, {
      next: `push it first: git push boxyard ${revision}`,
    });
  });
  return {
    groups: (spec) => gitGroups(spec, { sockets, service }),
    stop: async () => {
      await sockets.stop();
      await desk.stop();
      await service.stop();
      await packs.stop();
    },
  };
};

/** What the git server should have and be. */
export function gitGroups(
  spec: GitSpec,
  { sockets, service }: { readonly sockets: PushSockets; readonly service: PackService },
): ResourceGroup[] {
  const ids = new Set(spec.websites.map(({ id }) => id));
  const sshd = configuration({
    id: "sshd",
    files: sshdFiles(spec),
    check: ["/usr/sbin/sshd", "-t"],
    // Enabled before its first start: systemd loses track of a running unit that gains an alias.
    activate: [systemctl.atBoot("enable", "ssh.service"), systemctl.act("reload-or-restart", "ssh.service")],
  });
  return [
    { name: "accounts", resources: accountsApart() },
    {
      name: "packs",
      resources: [service.listening(spec.packPort)],
    },
    {
      name: "git",
      resources: [
        directory({ path: GIT_PATHS.repositories, mode: 0o711 }),
        directory({ path: GIT_PATHS.keys, mode: 0o711 }),
        directory({ path: GIT_PATHS.sockets, mode: 0o711 }),
        directory({ path: "/run/sshd" }),
      ],
    },
    ...spec.websites.map((website) => ({
      name: `repository ${website.id}`,
      // Keys last: whoever can log in finds a repository that takes pushes.
      resources: [...websiteRepository(website, spec.limits), sockets.socket(website.id, website.uid), keys(website)],
    })),
    { name: "access", resources: [sshd, unit({ unit: "ssh.service", running: true, atBoot: true })] },
    { name: "removed websites", resources: [sockets.noOthers(ids), noOtherRepositories(spec.websites)] },
  ];
}
