import { z } from "zod";
import { Address, ServerName, YardName } from "../names.ts";
import { secret } from "../secret.ts";

/** What a broker is told of whom it may trust: signed documents and public keys, nothing secret. */
export const BrokerTrust = z.object({
  operatorJwt: z.string(),
  /** The yard's account, and the broker's own for what concerns accounts; public keys. */
  account: z.string(),
  accountJwt: z.string(),
  system: z.string(),
  systemJwt: z.string(),
});
export type BrokerTrust = z.infer<typeof BrokerTrust>;

/** Brokers that are one bus. */
export const BrokerCluster = z.object({
  name: YardName,
  port: z.int(),
  /** What a broker shows to another, beside its certificate: those of other servers of the yard must not do. */
  password: secret(z.string()),
  members: z.array(z.object({ name: ServerName, address: Address })),
});
export type BrokerCluster = z.infer<typeof BrokerCluster>;

/** A broker beside the one on the control server; together they are one bus. */
export const BrokerSpec = z.object({ port: z.int(), trust: BrokerTrust, cluster: BrokerCluster });
export type BrokerSpec = z.infer<typeof BrokerSpec>;
