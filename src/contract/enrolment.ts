import { z } from "zod";
import { Address, ServerName, YardName } from "./names.ts";
import { secret } from "./secret.ts";

/** /etc/boxyard/agent.json (mode 0600): all an agent needs to join its yard; written by control before the server's first start. */
export const Enrolment = z.object({
  yard: YardName,
  server: ServerName,
  address: Address,
  /** All brokers, for example tls://10.77.0.2:4222. */
  brokers: z.array(z.string()),
  /** NATS user JWT and its nkey seed. */
  credentials: z.object({ jwt: z.string(), seed: secret(z.string()) }),
  /** The yard's certificate authority, PEM. */
  caPem: z.string(),
  /** The server's own certificate (CN = name; SAN = name, address) and key, PEM. */
  certificatePem: z.string(),
  keyPem: secret(z.string()),
  /** Ed25519 public key (SPKI PEM) that signs requests and specs. */
  signerPem: z.string(),
});
export type Enrolment = z.infer<typeof Enrolment>;

/** Where the enrolment lies on a server. */
export const ENROLMENT_PATH = "/etc/boxyard/agent.json";
