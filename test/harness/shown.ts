/** What control shows of a small yard: a cluster with two boxes, a website on it, its deployments, its servers' answers. */
import type { Cluster } from "#contract/api/clusters.ts";
import type { SshKey } from "#contract/api/keys.ts";
import type { Server } from "#contract/api/servers.ts";
import type { YardStatus } from "#contract/api/status.ts";
import type { Website } from "#contract/api/websites.ts";
import type { Deployment, DeploymentState } from "#contract/deployment.ts";
import type { RequestAnswer, RequestLine } from "#contract/request.ts";

export const AT = "2026-11-23T09:00:00.123456Z";
export const COMMIT = "4f2a".repeat(10);
export const PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGkFZ0Q8Y5d0vA me@example.org";

export const STATUS: YardStatus = {
  yard: "main",
  control: {
    url: "https://10.99.0.2:8443",
    version: "0.1.0",
    servers: [{ server: "control1", address: "10.99.0.2", state: "leads" }],
  },
  edge: { address: "10.99.0.3" },
  git: { address: "10.99.0.4", hostKey: "ssh-ed25519 AAAA" },
  servers: { total: 9, ready: 9 },
  brokers: [{ server: "control1", address: "10.99.0.2", state: "ready", leads: ["EVENTS"], behindBy: 0 }],
  clusters: 1,
  websites: 1,
  troubles: [],
};
const BOX = { roles: ["box"], cluster: "c1", targetGeneration: 4, restarts: [] } satisfies Partial<Server>;
export const SERVERS: Server[] = [
  { ...BOX, name: "c1b1", address: "10.99.0.10", state: "ready", reason: null, generation: 4 },
  { ...BOX, name: "c1b2", address: "10.99.0.11", state: "converging", reason: "at generation 3 of 4", generation: 3 },
];
export const CLUSTER: Cluster = { id: "c1", boxes: 2, minBoxes: null, isReady: true, servers: SERVERS, websites: [] };
export const WEBSITE: Website = {
  id: "s1",
  cluster: "c1",
  environment: "production",
  branch: "main",
  domains: [{ name: "www.example.org", kind: "main" }],
  gitUrl: "ssh://s1@10.99.0.4/s1",
  sshUrl: "ssh://s1@10.99.0.9",
  release: COMMIT,
  servers: [{ name: "c1b1", role: "box", release: COMMIT }],
  isReady: true,
  troubles: [],
};
export const KEY: SshKey = { fingerprint: "SHA256:x", type: "ssh-ed25519", comment: "me@example.org", publicKey: PUBLIC_KEY, addedAt: AT };

/** A deployment of the website that has ended so. */
export function deployment(id: number, state: DeploymentState): Deployment {
  const server = { name: "c1b1", role: "box", stagedAt: AT, switchedAt: AT, clockOffsetMs: -0.42, error: null, isLeftOut: false } as const;
  const cause = { kind: "push", push: "p", caller: null } as const;
  const common = { website: "s1", cluster: "c1", commit: COMMIT, previous: null, acceptedAt: AT, finishedAt: AT, servers: [server] };
  return { ...common, ...cause, id, state, reason: state === "live" ? null : "for a reason" };
}

type Answered = Omit<RequestAnswer, "kind">;

/** The lines of a request that these servers have answered. */
export function answered(...answers: readonly Answered[]): RequestLine[] {
  const failed = answers.flatMap(({ server, fault }) => (fault === undefined ? [] : [server]));
  return [
    { kind: "asked", request: "00000000-0000-4000-8000-000000000000", governors: [], servers: answers.map(({ server }) => server) },
    ...answers.map((answer) => ({ kind: "answer" as const, ...answer })),
    {
      kind: "summary",
      durationMs: 12,
      answered: answers.length - failed.length,
      failed,
      notAsked: [],
      sums: { usedPercent: { kind: "range", least: 10, median: 20, greatest: 90 } },
    },
  ];
}
