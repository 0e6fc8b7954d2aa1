import type { DomainKind } from "#contract/domain.ts";
import { expiryOf, issueCertificate } from "../authority/authority.ts";
import * as websites from "../store/websites.ts";
import type { ApiContext } from "./context.ts";
import type { Handler } from "./handlers.ts";
import { describeWebsite } from "./websites.ts";

const CERTIFICATE_DAYS = 365;

/** A domain with a certificate of the yard's authority. */
export async function newDomain({ secrets }: ApiContext, name: string, kind: DomainKind): Promise<websites.NewDomain> {
  const issued = await issueCertificate(secrets.authority, { commonName: name, dnsNames: [name], validDays: CERTIFICATE_DAYS });
  return { name, kind, certificate: { chainPem: issued.certificatePem, keyPem: issued.keyPem, expiresAt: expiryOf(issued) } };
}

export const addDomain: Handler<"addDomain"> = async (context, { params: { website }, input: { name, kind } }) => {
  await websites.readWebsite(context.store, website);
  await websites.addDomain(context.store, website, await newDomain(context, name, kind));
  context.onRowsChanged();
  return describeWebsite(context, website);
};

export const removeDomain: Handler<"removeDomain"> = async (context, { params: { website, domain } }) => {
  await websites.readWebsite(context.store, website);
  await websites.removeDomain(context.store, website, domain);
  context.onRowsChanged();
  return describeWebsite(context, website);
};
