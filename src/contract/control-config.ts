import { z } from "zod";
import { Address, ServerName, YardName } from "./names.ts";
import { secret } from "./secret.ts";

/** The yard's setting `control.replicas`. */
export const ControlReplicas = z.union([z.literal(1), z.literal(3)]);
export type ControlReplicas = z.infer<typeof ControlReplicas>;

/** /etc/boxyard/control.json (mode 0600) on each control server, written by `boxyard up`. */
export const ControlConfig = z.object({
  yard: YardName,
  /** The control server that the file lies on. */
  server: ServerName,
  address: Address,
  /** The yard's network: servers get addresses from it; .1 is the gateway, .2 to .4 are control servers. */
  subnet: z.cidrv4(),
  gateway: Address,
  /** How many control servers the yard should have; each carries a broker and can lead. */
  replicas: ControlReplicas.default(1),
  /** Whether the database is to lie on all three; written by `boxyard up` on each when all have what they need for it. */
  replicatedDatabase: z.boolean().default(false),
  /** Whether the server was made in place of a control server that was lost, when the other two were there already. */
  rejoins: z.boolean().default(false),
  cloud: z.object({
    driver: z.literal("incus"),
    /** Address of the cloud's API as seen from the control server. */
    url: z.string(),
    project: z.string(),
    network: z.string(),
    pool: z.string(),
    /** Client certificate, restricted to the project, and its key; the API's own certificate, pinned. PEM. */
    certificatePem: z.string(),
    keyPem: secret(z.string()),
    serverCertificatePem: z.string(),
  }),
  /** The stopped instance that servers are copied from. */
  template: z.string(),
  /** Volume with runtime and code, mounted at /opt/boxyard. */
  runtimeVolume: z.string(),
});
export type ControlConfig = z.infer<typeof ControlConfig>;
export const CONTROL_CONFIG_PATH = "/etc/boxyard/control.json";

/** The servers whose brokers are the bus; written on the control server when its broker has joined the others, until then it is the whole bus. */
export const BusMembers = z.array(z.object({ name: ServerName, address: Address }));
export type BusMembers = z.infer<typeof BusMembers>;
export const BUS_MEMBERS_PATH = "/var/lib/boxyard/brokers.json";

/** Owner boxyard, mode 0700: the yard's secrets, the same on all control servers but for each one's own certificate. */
export const SECRETS_DIRECTORY = "/var/lib/boxyard/secrets";
export const SECRETS_PATH = `${SECRETS_DIRECTORY}/yard.json`;

/** Where the control API may be: at one of these addresses. */
export const ControlUrls = z.array(z.url()).min(1);

/** What was written when there was but one address has it as `url`; it is read as `urls`, and written so from then on. */
export function withUrls(file: unknown): unknown {
  if (typeof file !== "object" || file === null || !("url" in file) || "urls" in file) return file;
  const { url, ...rest } = file;
  return { urls: [url], ...rest };
}

/** /var/lib/boxyard/operator.json on the control server: how an operator reaches the API. */
export const OperatorAccess = z.preprocess(withUrls, z.object({ urls: ControlUrls, token: secret(z.string()), caPem: z.string() }));
export type OperatorAccess = z.infer<typeof OperatorAccess>;
export const OPERATOR_ACCESS_PATH = "/var/lib/boxyard/operator.json";

/** There when the database of this server belongs to the three; written by setup before the PostgreSQL that was alone is stopped for good. */
export const DATABASE_REPLICATED_PATH = "/var/lib/boxyard/database-replicated";

/** Where the control service keeps what must outlive its process, beside the database. */
export const CONTROL_STATE = "/var/lib/boxyard/control";
/** Compiled code of the control service, which its own account alone may read and write. */
export const CONTROL_CACHE = "/var/cache/boxyard/control";
