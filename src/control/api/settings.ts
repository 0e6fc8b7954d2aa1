import { X509Certificate } from "node:crypto";
import { Fault } from "#base/fault.ts";
import type { PackageSources, WorkLimits } from "#contract/work-settings.ts";
import { changeSetting, readSettings, type Settings } from "../store/settings.ts";
import type { ApiContext } from "./context.ts";
import type { Handler } from "./handler.ts";

export const showLimits: Handler<"showLimits"> = async ({ store }) => (await readSettings(store)).limits;

export const setLimits: Handler<"setLimits"> = (context, { input }) => change(context, "limits", given<WorkLimits>(input));

export const showPackageSources: Handler<"showPackageSources"> = async ({ store }) => (await readSettings(store)).packages;

export const setPackageSources: Handler<"setPackageSources"> = (context, { input }) => {
  if (input.authorities !== undefined) refuseBadAuthorities(input.authorities);
  return change(context, "packages", given<PackageSources>(input));
};

async function change<N extends keyof Settings>(
  { store, onRowsChanged }: ApiContext,
  name: N,
  to: Partial<Settings[N]>,
): Promise<Settings[N]> {
  const changed = await changeSetting(store, name, to);
  await onRowsChanged();
  return changed;
}

/** What was left out of the input stays as it is. */
function given<T extends object>(input: { readonly [K in keyof T]?: T[K] | undefined }): Partial<T> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function refuseBadAuthorities(pem: string): void {
  const certificates = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (pem.trim() !== "" && certificates.length === 0) throw notAuthorities();
  for (const certificate of certificates) {
    try {
      if (new X509Certificate(certificate).ca) continue;
    } catch (cause) {
      throw notAuthorities(cause);
    }
    throw notAuthorities();
  }
}

function notAuthorities(cause?: unknown): Fault {
  return new Fault("settings.bad-authorities", "these are no certificates of authorities", {
    cause,
    next: "give a file with certificates in PEM form, each of an authority (CA: true)",
  });
}
