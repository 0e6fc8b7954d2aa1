import type { ColumnType, Generated, JSONColumnType, Kysely } from "kysely";
import type { AuditEntry } from "#contract/audit.ts";
import type { DomainKind } from "#contract/domain.ts";
import type { Enrolment } from "#contract/enrolment.ts";
import type { ClusterId, CommitId, Role, ServerName, WebsiteId } from "#contract/names.ts";
import type { ServerPlan } from "#contract/spec/server.ts";
import type { Target } from "#contract/target.ts";
import type { DeploymentTables } from "./deployment-tables.ts";

/** `leaving` servers are taken out of their cluster's caches first; `deleting` ones are removed from the cloud. */
export type ServerRowState = "present" | "leaving" | "deleting";

interface ServerTable {
  name: ServerName;
  roles: JSONColumnType<Role[]>;
  cluster: ClusterId | null;
  address: string;
  state: Generated<ServerRowState>;
  /** Made once per server, so that creating it may be repeated. */
  enrolment: JSONColumnType<Enrolment | null>;
  /** SSH host key of servers that people log in to. */
  host_key: JSONColumnType<{ privateKey: string; publicKey: string } | null>;
  /** When it was heard of for the first time; null before, and so while it is being created. */
  joined_at: ColumnType<Date | null, undefined, Date>;
}

interface ClusterTable {
  id: ClusterId;
  is_deleting: Generated<boolean>;
  /** Fewest boxes with which a deployment goes on without the others; null: half of them. */
  min_boxes: ColumnType<number | null, number | null | undefined, number | null>;
}

interface WebsiteTable {
  id: WebsiteId;
  cluster: ClusterId;
  environment: string;
  branch: string;
  hash_salt: string;
  processing_units: Generated<number>;
  release: CommitId | null;
  /** Higher with each decision about it; 0 before the first. */
  release_decision: Generated<number>;
}

interface DomainTable {
  name: string;
  website: WebsiteId;
  kind: DomainKind;
  chain_pem: string;
  key_pem: string;
  expires_at: ColumnType<Date, Date, Date>;
}

interface DatabaseTable {
  name: string;
  website: WebsiteId;
  password: string;
}

interface SshKeyTable {
  website: WebsiteId;
  fingerprint: string;
  type: string;
  comment: string;
  public_key: string;
  added_at: ColumnType<Date, Date | undefined, never>;
}

interface SpecTable {
  server: ServerName;
  generation: number;
  /** Of the body's canonical JSON. */
  hash: string;
  body: JSONColumnType<ServerPlan>;
}

interface AuditTable extends Pick<AuditEntry, "request" | "caller" | "action" | "target" | "kind"> {
  number: Generated<string>;
  at: Generated<Date>;
  details: JSONColumnType<AuditEntry["details"]>;
}

interface PersonTable {
  name: string;
  roles: JSONColumnType<string[]>;
  token_hash: string;
  added_at: ColumnType<Date, never, never>;
}

interface PolicyRuleTable {
  number: Generated<number>;
  role: string;
  actions: JSONColumnType<string[]>;
  target: string;
  /** The same, as servers get it. */
  parsed_target: JSONColumnType<Target>;
}

interface GovernorTable {
  name: string;
  most: number;
  actions: JSONColumnType<string[]>;
}

interface LeaseTable {
  governor: string;
  server: ServerName;
  request: string;
  /** Whether it lasts as long as a job. */
  is_job: boolean;
  since: ColumnType<Date, never, never>;
  until: ColumnType<Date, Date, Date>;
}

/** A server that visitors are not sent to until it is right again. */
interface FenceTable {
  server: ServerName;
  reason: string;
  deployment: number | null;
  since: ColumnType<Date, never, never>;
}

/** What an operator has decided for the whole yard. */
interface SettingTable {
  name: string;
  value: JSONColumnType<object>;
}

interface BusKeyTable {
  public_key: string;
  server: ServerName;
  issued_at: ColumnType<Date, never, never>;
  revoked_at: ColumnType<Date | null, never, Date>;
  rights: number;
}

/** One row: the control server that leads. */
interface LeadershipTable {
  is_only: Generated<boolean>;
  term: string;
  server: ServerName;
  since: ColumnType<Date, never, Date>;
}

/** The yard's rows. */
export interface Tables extends DeploymentTables {
  server: ServerTable;
  fence: FenceTable;
  cluster: ClusterTable;
  website: WebsiteTable;
  domain: DomainTable;
  database: DatabaseTable;
  ssh_key: SshKeyTable;
  spec: SpecTable;
  audit: AuditTable;
  person: PersonTable;
  policy_rule: PolicyRuleTable;
  governor: GovernorTable;
  lease: LeaseTable;
  bus_key: BusKeyTable;
  setting: SettingTable;
  leadership: LeadershipTable;
}

/** Access to the yard's rows. */
export type Store = Kysely<Tables>;
