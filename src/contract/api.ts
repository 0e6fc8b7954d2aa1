import { z } from "zod";
import { AuditEntry } from "./audit.ts";
import { HoldSeconds } from "./boxfile.ts";
import { Deployment } from "./deployment.ts";
import { Domain, DomainKind, DomainName } from "./domain.ts";
import { Event, JobEvent } from "./events.ts";
import { Governor, GovernorName } from "./governor.ts";
import { Job } from "./job.ts";
import { Address, BranchName, ClusterId, CommitId, EnvironmentLabel, Role, ServerName, Timestamp, WebsiteId, YardName } from "./names.ts";
import { ActionPattern, Person, PersonName, PolicyRole, Rule } from "./policy.ts";
import { RequestInput, RequestLine } from "./request.ts";
import { secret } from "./secret.ts";
import { SshPublicKey } from "./ssh-key.ts";
import { ServerStatus } from "./status.ts";
import { PackageSources, WorkLimits } from "./work-settings.ts";

/** A route of the HTTP API: parameters in braces come from `params`, the rest of the input is the query (GET, DELETE) or the JSON body. */
export interface Route<P extends z.ZodObject = z.ZodObject, I extends z.ZodObject = z.ZodObject, O extends z.ZodType = z.ZodType> {
  readonly method: "GET" | "POST" | "DELETE" | "PATCH";
  readonly path: string;
  readonly summary: string;
  readonly params: P;
  readonly input: I;
  /** What is answered; for routes that stream, one line of it. */
  readonly output: O;
  /** Answers in lines of JSON as they come, until the request is done or the caller goes away. */
  readonly streams?: boolean;
  /** Open to everyone whom the operators have added; all others are for operators. */
  readonly isOpen?: boolean;
}

function route<const R extends Route>(declared: R): R {
  return declared;
}

const none = z.object({});
const ofCluster = z.object({ cluster: ClusterId });
const ofServer = z.object({ server: ServerName });
const ofJob = z.object({ job: z.uuid() });
const ofPerson = z.object({ person: PersonName });
const PersonWithToken = z.object({ person: Person, token: secret(z.string()) });
const ofWebsite = z.object({ website: WebsiteId });

/**
 * `creating` until its first heartbeat, `ready` when converged, `converging` when behind its target, `failed` with faults,
 * `unreachable` when silent, `fenced` when visitors are not sent to it though nothing else is wrong.
 */
const ServerState = z.enum(["creating", "converging", "ready", "failed", "unreachable", "fenced", "deleting"]);
export const Server = z.object({
  name: ServerName,
  roles: z.array(Role),
  cluster: ClusterId.nullable(),
  address: Address,
  state: ServerState,
  /** Why it is not ready, in words; null when it is. */
  reason: z.string().nullable(),
  generation: z.int(),
  targetGeneration: z.int(),
});
export type Server = z.infer<typeof Server>;

const Boxes = z.int().min(1, "a cluster needs at least one box").max(64);
export const Cluster = z.object({
  id: ClusterId,
  boxes: z.int(),
  /** A deployment goes on without boxes that fail while so many others get visitors; null: half of all. */
  minBoxes: z.int().nullable(),
  isReady: z.boolean(),
  servers: z.array(Server),
  websites: z.array(WebsiteId),
});
export type Cluster = z.infer<typeof Cluster>;

export const Website = z.object({
  id: WebsiteId,
  cluster: ClusterId,
  environment: EnvironmentLabel,
  branch: BranchName,
  domains: z.array(Domain),
  gitUrl: z.string(),
  sshUrl: z.string(),
  release: CommitId.nullable(),
  servers: z.array(z.object({ name: ServerName, role: Role, release: CommitId.nullable() })),
  /** Whether every server of it is converged to the website as it stands. */
  isReady: z.boolean(),
});
export type Website = z.infer<typeof Website>;

export const SshKey = z.object({
  fingerprint: z.string(),
  type: z.string(),
  comment: z.string(),
  publicKey: z.string(),
  addedAt: Timestamp,
});
export type SshKey = z.infer<typeof SshKey>;

/** `behind`: it has not all yet that is stored; `joining`: it is no part of the bus yet. */
export const BrokerState = z.object({
  server: ServerName,
  address: Address,
  state: z.enum(["ready", "behind", "away", "joining"]),
  /** Streams of which it accepts what is new; "brokers": of the list of streams. */
  leads: z.array(z.string()),
  /** Entries. */
  behindBy: z.int(),
});
export type BrokerState = z.infer<typeof BrokerState>;

export const YardStatus = z.object({
  yard: YardName,
  control: z.object({ url: z.string(), version: z.string() }),
  edge: z.object({ address: Address.nullable() }),
  git: z.object({ address: Address.nullable(), hostKey: z.string() }),
  servers: z.object({ total: z.int(), ready: z.int() }),
  brokers: z.array(BrokerState),
  clusters: z.int(),
  websites: z.int(),
  /** What control cannot do at the moment, in words (cloud out of reach, missing rights, …). */
  troubles: z.array(z.string()),
});
export type YardStatus = z.infer<typeof YardStatus>;

const LogLine = z.object({ server: ServerName, line: z.string() });

/** The HTTP API under /v1: bearer token, JSON both ways. The server and the client are both made from this table. */
export const api = {
  status: route({
    method: "GET",
    path: "/v1/status",
    summary: "The yard at a glance",
    params: none,
    input: none,
    output: YardStatus,
    isOpen: true,
  }),
  listServers: route({
    method: "GET",
    path: "/v1/servers",
    summary: "All servers",
    params: none,
    input: none,
    output: z.array(Server),
    isOpen: true,
  }),
  findServers: route({
    method: "GET",
    path: "/v1/servers/found",
    summary: "Servers of a target, with what is known of them",
    params: none,
    input: z.object({ target: z.string().max(2_000).default("") }),
    /** `heardSince`: since when heartbeats have come without a gap. */
    output: z.array(
      Server.extend({
        websites: z.array(WebsiteId),
        facts: ServerStatus.shape.facts,
        heardAt: Timestamp.nullable(),
        heardSince: Timestamp.nullable(),
      }),
    ),
    isOpen: true,
  }),
  revokeServer: route({
    method: "POST",
    path: "/v1/servers/{server}/revoke",
    summary: "Cut a server off from the bus at once: its credentials count no more",
    params: ofServer,
    input: none,
    output: z.object({ server: ServerName }),
  }),
  readmitServer: route({
    method: "POST",
    path: "/v1/servers/{server}/readmit",
    summary: "Give a server that was cut off new credentials, through the cloud",
    params: ofServer,
    input: none,
    output: z.object({ server: ServerName }),
  }),
  renewServer: route({
    method: "POST",
    path: "/v1/servers/{server}/renew",
    summary: "Let a server change to a new key for the bus, without a gap",
    params: ofServer,
    input: none,
    output: z.object({ server: ServerName }),
  }),
  request: route({
    method: "POST",
    path: "/v1/requests",
    summary: "Ask servers for an action; their answers come as they arrive",
    params: none,
    input: RequestInput,
    output: RequestLine,
    streams: true,
    isOpen: true,
  }),
  events: route({
    method: "GET",
    path: "/v1/events",
    summary: "What happened in the yard, in its order; from any point of the last 30 days, and on with what comes",
    params: none,
    input: z.object({
      /** The number of the last event that is known already. */
      after: z.coerce.number().int().min(0).optional(),
      /** Without `after`: so many of the newest. */
      last: z.coerce.number().int().min(0).max(10_000).default(50),
      follow: z.stringbool().default(false),
      /** Only events of these servers. */
      target: z.string().max(2_000).default(""),
    }),
    output: z.object({ number: z.int(), event: Event }),
    streams: true,
    isOpen: true,
  }),
  audit: route({
    method: "GET",
    path: "/v1/audit",
    summary: "Who changed what, who asked servers for what, and how it ended",
    params: none,
    input: z.object({ last: z.coerce.number().int().min(1).max(10_000).default(50) }),
    output: z.array(AuditEntry),
  }),
  cancelRequest: route({
    method: "DELETE",
    path: "/v1/requests/{request}",
    summary: "Call a request off: nobody else is asked, and its answer ends with what had been done",
    params: z.object({ request: z.uuid() }),
    input: none,
    output: z.object({ request: z.string() }),
    isOpen: true,
  }),
  listJobs: route({
    method: "GET",
    path: "/v1/jobs",
    summary: "Every job of the last 30 days, the oldest first",
    params: none,
    input: none,
    output: z.array(Job),
    isOpen: true,
  }),
  showJob: route({ method: "GET", path: "/v1/jobs/{job}", summary: "One job", params: ofJob, input: none, output: Job, isOpen: true }),
  watchJob: route({
    method: "GET",
    path: "/v1/jobs/{job}/events",
    summary: "What servers tell of a job, from its beginning until it is over",
    params: ofJob,
    input: none,
    output: JobEvent,
    streams: true,
    isOpen: true,
  }),
  cancelJob: route({
    method: "DELETE",
    path: "/v1/jobs/{job}",
    summary: "End a job on every server where it runs",
    params: ofJob,
    input: none,
    output: z.object({ ended: z.array(ServerName), failed: z.array(ServerName) }),
    isOpen: true,
  }),
  showLimits: route({
    method: "GET",
    path: "/v1/limits",
    summary: "What builds and hooks may take",
    params: none,
    input: none,
    output: WorkLimits,
  }),
  setLimits: route({
    method: "PATCH",
    path: "/v1/limits",
    summary: "Change what builds and hooks may take, for those that begin from now on",
    params: none,
    input: WorkLimits.partial(),
    output: WorkLimits,
  }),
  showPackageSources: route({
    method: "GET",
    path: "/v1/package-sources",
    summary: "How builds reach the places that packages come from",
    params: none,
    input: none,
    output: PackageSources,
  }),
  setPackageSources: route({
    method: "PATCH",
    path: "/v1/package-sources",
    summary: "Change how builds reach the places that packages come from",
    params: none,
    input: PackageSources.partial(),
    output: PackageSources,
  }),
  listGovernors: route({
    method: "GET",
    path: "/v1/governors",
    summary: "Limits over the whole yard, and the servers that make use of them now",
    params: none,
    input: none,
    output: z.array(Governor),
    isOpen: true,
  }),
  putGovernor: route({
    method: "POST",
    path: "/v1/governors",
    summary: "Make or change a governor",
    params: none,
    input: z.object({ name: GovernorName, limit: Governor.shape.limit, actions: Governor.shape.actions.max(50).default([]) }),
    output: Governor,
  }),
  removeGovernor: route({
    method: "DELETE",
    path: "/v1/governors/{governor}",
    summary: "Remove a governor; what waits for it goes on",
    params: z.object({ governor: GovernorName }),
    input: none,
    output: z.object({ name: GovernorName }),
  }),
  listPeople: route({
    method: "GET",
    path: "/v1/people",
    summary: "Who may use this API, beside the operator that bin/up has made",
    params: none,
    input: none,
    output: z.array(Person),
  }),
  addPerson: route({
    method: "POST",
    path: "/v1/people",
    summary: "Add a person; the token is told once",
    params: none,
    input: z.object({ name: PersonName, roles: z.array(z.string().max(40)).min(1, "give a role").max(50) }),
    output: PersonWithToken,
  }),
  changePerson: route({
    method: "PATCH",
    path: "/v1/people/{person}",
    summary: "Set a person's roles",
    params: ofPerson,
    input: z.object({ roles: z.array(z.string().max(40)).min(1, "give a role").max(50) }),
    output: Person,
  }),
  renewToken: route({
    method: "POST",
    path: "/v1/people/{person}/token",
    summary: "Give a person a new token; the old one is worth nothing from now on",
    params: ofPerson,
    input: none,
    output: PersonWithToken,
  }),
  removePerson: route({
    method: "DELETE",
    path: "/v1/people/{person}",
    summary: "Take all rights from a person; their requests under way are called off",
    params: ofPerson,
    input: none,
    output: z.object({ name: PersonName }),
  }),
  listRules: route({
    method: "GET",
    path: "/v1/policy",
    summary: "What the roles of people may ask which servers for",
    params: none,
    input: none,
    output: z.array(Rule),
  }),
  addRule: route({
    method: "POST",
    path: "/v1/policy",
    summary: "Allow a role actions on the servers of a target",
    params: none,
    input: z.object({ role: PolicyRole, actions: z.array(ActionPattern).min(1).max(50), target: z.string().min(1).max(2_000) }),
    output: Rule,
  }),
  removeRule: route({
    method: "DELETE",
    path: "/v1/policy/{rule}",
    summary: "Take a rule back",
    params: z.object({ rule: z.coerce.number().int().positive() }),
    input: none,
    output: z.object({ number: z.int() }),
  }),
  createCluster: route({
    method: "POST",
    path: "/v1/clusters",
    summary: "Create a cluster: two caches, a shell server, boxes",
    params: none,
    input: z.object({ boxes: Boxes.default(2), minBoxes: Boxes.nullable().default(null) }),
    output: Cluster,
  }),
  listClusters: route({
    method: "GET",
    path: "/v1/clusters",
    summary: "All clusters",
    params: none,
    input: none,
    output: z.array(Cluster),
  }),
  showCluster: route({
    method: "GET",
    path: "/v1/clusters/{cluster}",
    summary: "One cluster",
    params: ofCluster,
    input: none,
    output: Cluster,
  }),
  scaleCluster: route({
    method: "PATCH",
    path: "/v1/clusters/{cluster}",
    summary: "Set the number of boxes, and how many a deployment needs at least",
    params: ofCluster,
    input: z.object({ boxes: Boxes.optional(), minBoxes: Boxes.nullable().optional() }),
    output: Cluster,
  }),
  deleteCluster: route({
    method: "DELETE",
    path: "/v1/clusters/{cluster}",
    summary: "Delete a cluster that has no websites",
    params: ofCluster,
    input: none,
    output: z.object({ id: ClusterId }),
  }),
  createWebsite: route({
    method: "POST",
    path: "/v1/websites",
    summary: "Create a website on a cluster",
    params: none,
    input: z.object({
      cluster: ClusterId,
      domain: DomainName,
      environment: EnvironmentLabel.default("production"),
      branch: BranchName.default("main"),
    }),
    output: Website,
  }),
  listWebsites: route({
    method: "GET",
    path: "/v1/websites",
    summary: "All websites",
    params: none,
    input: none,
    output: z.array(Website),
  }),
  showWebsite: route({
    method: "GET",
    path: "/v1/websites/{website}",
    summary: "One website",
    params: ofWebsite,
    input: none,
    output: Website,
  }),
  deleteWebsite: route({
    method: "DELETE",
    path: "/v1/websites/{website}",
    summary: "Delete a website with its releases, database, files and repository",
    params: ofWebsite,
    input: none,
    output: z.object({ id: WebsiteId }),
  }),
  addDomain: route({
    method: "POST",
    path: "/v1/websites/{website}/domains",
    summary: "Add a domain",
    params: ofWebsite,
    input: z.object({ name: DomainName, kind: DomainKind.default("alias") }),
    output: Website,
  }),
  removeDomain: route({
    method: "DELETE",
    path: "/v1/websites/{website}/domains/{domain}",
    summary: "Remove a domain",
    params: ofWebsite.extend({ domain: DomainName }),
    input: none,
    output: Website,
  }),
  addKey: route({
    method: "POST",
    path: "/v1/websites/{website}/keys",
    summary: "Allow an SSH public key to push and to log in",
    params: ofWebsite,
    input: z.object({ publicKey: SshPublicKey }),
    output: SshKey,
  }),
  listKeys: route({
    method: "GET",
    path: "/v1/websites/{website}/keys",
    summary: "A website's keys",
    params: ofWebsite,
    input: none,
    output: z.array(SshKey),
  }),
  removeKey: route({
    method: "POST",
    path: "/v1/websites/{website}/keys/remove",
    summary: "Remove a key by its fingerprint (SHA256:…)",
    params: ofWebsite,
    input: z.object({ fingerprint: z.string().max(200) }),
    output: SshKey,
  }),
  listDeployments: route({
    method: "GET",
    path: "/v1/deployments",
    summary: "Deployments, newest last",
    params: none,
    input: z.object({ website: WebsiteId.optional(), limit: z.coerce.number().int().min(1).max(1000).default(100) }),
    output: z.array(Deployment),
  }),
  showDeployment: route({
    method: "GET",
    path: "/v1/deployments/{deployment}",
    summary: "One deployment",
    params: z.object({ deployment: z.coerce.number().int().positive() }),
    input: none,
    output: Deployment,
  }),
  deploy: route({
    method: "POST",
    path: "/v1/websites/{website}/deployments",
    summary: "Deploy a commit that the website's repository has already",
    params: ofWebsite,
    /** `holdSeconds`: visitors wait from the switch until the release is right, as if its Boxfile said so. */
    input: z.object({ revision: BranchName, holdSeconds: HoldSeconds.optional() }),
    /** `warnings` are what a push of the commit would have told. */
    output: z.object({ deployment: Deployment, warnings: z.array(z.string()).readonly() }),
  }),
  rollback: route({
    method: "POST",
    path: "/v1/websites/{website}/rollback",
    summary: "Deploy the release that was live before the present one, or an earlier one",
    params: ofWebsite,
    /** The start of a release's commit, at least four digits. */
    input: z.object({
      to: z
        .string()
        .regex(/^[0-9a-f]{4,40}$/, "a release is 4–40 hexadecimal digits of its commit")
        .optional(),
    }),
    output: Deployment,
  }),
  cancelDeployment: route({
    method: "POST",
    path: "/v1/deployments/{deployment}/cancel",
    summary: "Call a deployment off that has not switched yet; nothing changes on any server",
    params: z.object({ deployment: z.coerce.number().int().positive() }),
    input: none,
    output: Deployment,
  }),
  deploymentEvents: route({
    method: "GET",
    path: "/v1/deployments/{deployment}/events",
    summary: "What happened so far in a deployment; `after` skips that many",
    params: z.object({ deployment: z.coerce.number().int().positive() }),
    input: z.object({ after: z.coerce.number().int().min(0).default(0) }),
    output: z.object({ events: z.array(Event), isFinal: z.boolean() }),
  }),
  readLogs: route({
    method: "GET",
    path: "/v1/websites/{website}/logs",
    summary: "Last log lines of a website from all its boxes; cursors go on from an earlier answer",
    params: ofWebsite,
    input: z.object({
      kind: z.enum(["access", "error"]).default("access"),
      lines: z.coerce.number().int().min(1).max(1000).default(50),
      /** JSON object of server name to cursor. */
      cursors: z.string().max(10_000).optional(),
    }),
    output: z.object({ lines: z.array(LogLine), cursors: z.record(ServerName, z.string()), silent: z.array(ServerName) }),
  }),
} as const;
