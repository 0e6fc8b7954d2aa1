import type { NatsConnection } from "@nats-io/transport-node";
import { z } from "zod";

/** What every broker is asked for of itself (NATS: "monitoring over the system account"). */
const SUBJECT = "$SYS.REQ.SERVER.PING.JSZ";

const Cluster = z.object({
  leader: z.string().optional(),
  replicas: z
    .array(z.object({ name: z.string(), current: z.boolean(), offline: z.boolean().default(false), lag: z.int().default(0) }))
    .default([]),
});

const Answer = z.object({
  server: z.object({ name: z.string(), id: z.string() }),
  data: z.object({
    meta_cluster: Cluster.optional(),
    account_details: z
      .array(z.object({ stream_detail: z.array(z.object({ name: z.string(), cluster: Cluster.optional() })).default([]) }))
      .default([]),
  }),
});

/** What is known of a broker that answers. */
export interface BrokerHealth {
  /** Another one after each start. */
  readonly id: string;
  /** Streams of which it accepts what is new, and "brokers" for their common list of streams. */
  readonly leads: readonly string[];
  /** How many entries those that lead have not seen it take. */
  readonly behindBy: number;
  /** Whether it has all of everything, as far as those that lead know. */
  readonly isCurrent: boolean;
}

/** The common list of streams, as a name among those of streams. */
export const ALL_BROKERS = "brokers";

/** Asks all brokers of a bus at once; those that do not answer in time are missing. The connection is of the system account. */
export async function readBrokerHealth(
  connection: NatsConnection,
  { most, timeoutMs }: { readonly most: number; readonly timeoutMs: number },
): Promise<Map<string, BrokerHealth>> {
  const asked = JSON.stringify({ accounts: true, streams: true });
  const messages = await connection.requestMany(SUBJECT, asked, { maxWait: timeoutMs, maxMessages: most });
  const answers: z.output<typeof Answer>[] = [];
  for await (const message of messages) {
    const answer = Answer.safeParse(message.json());
    if (answer.success) answers.push(answer.data);
  }
  return judge(answers);
}

function judge(answers: readonly z.output<typeof Answer>[]): Map<string, BrokerHealth> {
  const led = answers.flatMap(({ server, data }) =>
    groupsOf(data)
      .filter(({ cluster }) => cluster === undefined || cluster.leader === server.name)
      .map((group) => ({ ...group, leader: server.name })),
  );
  return new Map(
    answers.map(({ server: { name, id } }) => {
      // Only who leads knows how far the others are.
      const followed = led.flatMap(({ cluster }) => cluster?.replicas.filter((replica) => replica.name === name) ?? []);
      return [
        name,
        {
          id,
          leads: led.filter(({ leader }) => leader === name).map((group) => group.name),
          behindBy: Math.max(0, ...followed.map(({ lag }) => lag)),
          isCurrent: followed.every(({ current, offline }) => current && !offline),
        },
      ];
    }),
  );
}

function groupsOf({ meta_cluster, account_details }: z.output<typeof Answer>["data"]) {
  const all = meta_cluster === undefined ? [] : [{ name: ALL_BROKERS, cluster: meta_cluster }];
  const streams = account_details.flatMap(({ stream_detail }) => stream_detail);
  return [...all, ...streams];
}
