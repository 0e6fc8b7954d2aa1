import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "#base/atomic-file.ts";
import { Fault } from "#base/fault.ts";
import { ControlReplicas, ControlUrls, withUrls } from "#contract/control-config.ts";
import { Address, YardName } from "#contract/names.ts";

/** What this machine knows of a yard: /var/lib/boxyard/yards/<yard>/yard.json, mode 0600. */
export const YardState = z.preprocess(
  withUrls,
  z.object({
    yard: YardName,
    subnet: z.cidrv4(),
    gateway: Address,
    controlAddress: Address,
    control: z.object({ replicas: ControlReplicas }).default({ replicas: 1 }),
    /** The yard's client certificate for the cloud. */
    cloudCertificate: z.object({ certificatePem: z.string(), keyPem: z.string() }).optional(),
    /** Access to the control API; set when control has answered for the first time. */
    urls: ControlUrls.optional(),
    token: z.string().optional(),
    caPem: z.string().optional(),
    /** Hash of the code and packages that the yard's servers run. */
    runtime: z.string().optional(),
  }),
);
export type YardState = z.infer<typeof YardState>;

/** A person without root may point to a copy of their own. */
const root = (): string => process.env["BOXYARD_YARDS"] ?? "/var/lib/boxyard/yards";

/** The directory that holds everything this machine keeps of a yard. */
export function yardDirectory(yard: string): string {
  return join(root(), yard);
}

/** The yard's state, or null when the machine has no such yard. */
export async function findYardState(yard: string): Promise<YardState | null> {
  const text = await readFile(join(yardDirectory(yard), "yard.json"), "utf8").catch(() => null);
  return text === null ? null : YardState.parse(JSON.parse(text));
}

/** The yard's state; Fault "yard.not-here" when the machine has no such yard. */
export async function readYardState(yard: string): Promise<YardState> {
  const state = await findYardState(yard);
  if (state !== null) return state;
  throw new Fault("yard.not-here", `this machine has no yard “${yard}”, or you may not read ${root()}`, {
    next: `make it, as root: bin/up --yard ${yard}`,
  });
}

/** Replaces the yard's state. */
export async function writeYardState(state: YardState): Promise<void> {
  await mkdir(yardDirectory(state.yard), { recursive: true, mode: 0o700 });
  await writeFileAtomic(join(yardDirectory(state.yard), "yard.json"), `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
}

/** Forgets the yard. */
export async function removeYardState(yard: string): Promise<void> {
  await rm(yardDirectory(yard), { recursive: true, force: true });
}
