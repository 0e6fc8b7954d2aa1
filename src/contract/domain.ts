import { z } from "zod";

/** A domain name as it stands in a certificate and in the edge's map: lower case ASCII (IDNs in their xn-- form), at least two labels. */
export const DomainName = z
  .string()
  .max(253, "a domain has at most 253 characters")
  .regex(
    /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])$/,
    "a domain is lower-case labels of a–z, 0–9 and - (not first or last), joined by dots, for example www.example.org; write an international name in its xn-- form",
  );

/** What a domain does: `main` is the website's canonical name, `alias` serves the same, `redirect` sends visitors to main. */
export const DomainKind = z.enum(["main", "alias", "redirect"]);
export type DomainKind = z.infer<typeof DomainKind>;

export const Domain = z.object({ name: DomainName, kind: DomainKind });
export type Domain = z.infer<typeof Domain>;
