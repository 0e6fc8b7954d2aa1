import { describe, expect, test } from "vitest";
import { z } from "zod";
import { operatorActions } from "./actions/operator.ts";
import { api } from "./api/routes.ts";
import { ControlConfig, OperatorAccess } from "./control-config.ts";
import { Enrolment } from "./enrolment.ts";
import { holdsSecret, masked } from "./secret.ts";
import { ServerSpec } from "./spec/server.ts";

const SOUNDS_SECRET = /password|passphrase|token|secret|seed|salt|privatekey|keypem|hostkey/i;
/** What only sounds so: the git server's public key, by which people know it. */
const PUBLIC = new Set(["status output.hostKey"]);

/** Every field of a schema whose name sounds as if nobody should read it, and that is not declared as a secret. */
function undeclared(what: string, schema: z.ZodType): string[] {
  const found: string[] = [];
  z.toJSONSchema(schema, {
    unrepresentable: "any",
    io: "output",
    override: ({ zodSchema }) => {
      const { def } = zodSchema._zod;
      if (def.type !== "object") return;
      for (const [name, field] of Object.entries((def as z.core.$ZodObjectDef).shape))
        if (SOUNDS_SECRET.test(name) && !holdsSecret(field)) found.push(`${what}.${name}`);
    },
  });
  return [...new Set(found)].filter((one) => !PUBLIC.has(one));
}

describe("what is secret is declared as such", () => {
  test("in everything that crosses the API, is asked of servers, or told to them", () => {
    const routes = Object.entries(api).flatMap(([name, { input, output }]) => [
      ...undeclared(`${name} input`, input),
      ...undeclared(`${name} output`, output),
    ]);
    const actions = operatorActions.flatMap(({ name, input, output }) => [...undeclared(name, input), ...undeclared(name, output)]);
    const files = Object.entries({ ControlConfig, OperatorAccess, Enrolment, ServerSpec }).flatMap(([name, one]) => undeclared(name, one));
    expect([...routes, ...actions, ...files]).toEqual([]);
  });

  test("and masked there: nobody's token, no private key", () => {
    const person = { name: "anna", roles: ["caches"], addedAt: "" };
    expect(masked(api.addPerson.output, { person, token: "t" })).toEqual({ person, token: "***" });
    const edge = {
      certificates: [{ domain: "example.org", chainPem: "c", keyPem: "k" }],
      defaultCertificate: { chainPem: "c", keyPem: "k" },
    };
    expect(JSON.stringify(masked(ServerSpec, { server: "edge1", roles: { edge } }))).not.toContain('"k"');
  });
});
