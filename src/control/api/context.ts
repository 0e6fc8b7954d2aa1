import type { Log } from "#base/log.ts";
import type { BrokerState, ControlState } from "#contract/api/status.ts";
import type { ControlConfig } from "#contract/control-config.ts";
import type { AbsenceCause } from "#contract/events.ts";
import type { ServerName } from "#contract/names.ts";
import type { ControlFabric } from "#fabric/fabric.ts";
import type { BusKeys } from "../authority/bus-keys.ts";
import type { Coordinator } from "../deploy/coordinator.ts";
import type { Requests } from "../requests/run.ts";
import type { Secrets } from "../secrets.ts";
import type { Store } from "../store/schema.ts";
import type { ServerRow } from "../store/servers.ts";

/** What the API's handlers work with. */
export interface ApiContext {
  readonly config: ControlConfig;
  readonly secrets: Secrets;
  readonly store: Store;
  readonly fabric: ControlFabric;
  readonly requests: Requests;
  readonly busKeys: BusKeys;
  /** Gives a server new credentials by the cloud's hand. */
  readonly readmit: (server: ServerRow) => Promise<void>;
  readonly deployer: Pick<Coordinator, "order" | "cancel">;
  /** How each broker of the bus is. */
  readonly brokers: () => BrokerState[];
  /** Which control server leads, and which could take over. */
  readonly controls: () => ControlState[];
  /** Does not return when another control server may lead by now. */
  readonly confirmLead: () => void;
  readonly log: Log;
  readonly version: string;
  /**
   * Told after every change of rows. Resolves when the change is planned, so that whoever asks next sees the servers that it
   * concerns as not ready; delivering and provisioning go on.
   */
  readonly onRowsChanged: () => Promise<void>;
  /** What control cannot do at the moment, in words. */
  readonly troubles: () => readonly string[];
  /** Whether a server gets no visitors because it restarts something for a change. */
  readonly isRestarting: (server: ServerName) => boolean;
  /** Why a server that should be there is not; null when it is. */
  readonly absenceOf: (server: ServerName) => AbsenceCause | null;
  /** For how long a server that is behind its plan has not come any further; 0 when it is not behind. */
  readonly behindMs: (server: ServerName) => number;
}
