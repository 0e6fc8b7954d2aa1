import { certificateFor } from "../authority/website-certificate.ts";
import * as websites from "../store/websites.ts";
import type { Handler } from "./handler.ts";
import { describeWebsite } from "./websites.ts";

export const addDomain: Handler<"addDomain"> = async (context, { params: { website }, input: { name, kind } }) => {
  await websites.readWebsite(context.store, website);
  await websites.addDomain(context.store, website, { name, kind, certificate: await certificateFor(context.secrets.authority, name) });
  await context.onRowsChanged();
  return describeWebsite(context, website);
};

export const removeDomain: Handler<"removeDomain"> = async (context, { params: { website, domain } }) => {
  await websites.readWebsite(context.store, website);
  await websites.removeDomain(context.store, website, domain);
  await context.onRowsChanged();
  return describeWebsite(context, website);
};
