import type { DomainKind } from "#contract/domain.ts";
import type { ClusterId, CommitId, Role, ServerName, WebsiteId } from "#contract/names.ts";
import type { Policy } from "#contract/policy.ts";
import type { BrokerSpec } from "#contract/spec/broker.ts";
import type { PackageSources, WorkLimits } from "#contract/work-settings.ts";

/** What the planner reads of a server. */
export interface PlannedServer {
  readonly name: ServerName;
  readonly roles: readonly Role[];
  readonly cluster: ClusterId | null;
  readonly address: string;
  readonly state: "present" | "leaving" | "deleting";
  readonly host_key: { readonly privateKey: string } | null;
  /** Why visitors are not sent to it; null when they are. */
  readonly fence: string | null;
}

/** What the planner reads of a website. */
export interface PlannedWebsite {
  readonly id: WebsiteId;
  readonly cluster: ClusterId;
  readonly environment: string;
  readonly branch: string;
  readonly hash_salt: string;
  readonly processing_units: number;
  readonly release: CommitId | null;
  readonly release_decision: number;
  /** Those that went live, the newest first, each once. */
  readonly good_releases: readonly CommitId[];
  readonly domains: readonly { readonly name: string; readonly kind: DomainKind; readonly chain_pem: string; readonly key_pem: string }[];
  readonly databases: readonly { readonly name: string; readonly password: string }[];
  readonly keys: readonly { readonly public_key: string }[];
}

/** Everything that the plan of a yard depends on. */
export interface YardRows {
  readonly yard: string;
  readonly servers: readonly PlannedServer[];
  readonly websites: readonly PlannedWebsite[];
  readonly policy: Policy;
  readonly limits: WorkLimits;
  readonly packages: PackageSources;
  /** Served by the edge when no domain matches. */
  readonly defaultCertificate: { readonly chainPem: string; readonly keyPem: string };
  /** Where all brokers of the bus are found. */
  readonly brokers: readonly string[];
  /** What a broker is to be; null when there is only control's own. */
  readonly broker: BrokerSpec | null;
}
