import { z } from "zod";
import { Address, ServerName, YardName } from "./names.ts";
import { secret } from "./secret.ts";

/** /etc/boxyard/control.json (mode 0600) on the control server, written by `boxyard up` before its first start. */
export const ControlConfig = z.object({
  yard: YardName,
  server: ServerName,
  address: Address,
  /** The yard's network: servers get addresses from it; .1 is the gateway, .2 the control server. */
  subnet: z.cidrv4(),
  gateway: Address,
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

/** /var/lib/boxyard/operator.json on the control server: how an operator reaches the API. */
export const OperatorAccess = z.object({ url: z.string(), token: secret(z.string()), caPem: z.string() });
export type OperatorAccess = z.infer<typeof OperatorAccess>;
export const OPERATOR_ACCESS_PATH = "/var/lib/boxyard/operator.json";

/** Where the control service keeps what must outlive its process, beside the database. */
export const CONTROL_STATE = "/var/lib/boxyard/control";
