import type { Enrolment } from "#contract/enrolment.ts";
import type { ServerSpec } from "#contract/spec/server.ts";
import { compiledCode } from "./compiled-code.ts";
import { file } from "./converge/file.ts";
import type { ResourceGroup } from "./converge/resource.ts";

/** Where a server's programs find the yard's certificate authority. */
const CA_PATH = "/etc/boxyard/ca.pem";

/** What every server has, whatever its roles: the names of its neighbours, the yard's certificate authority, and what root runs. */
export function commonGroup(enrolment: Enrolment, spec: ServerSpec): ResourceGroup {
  const hosts = [
    "# Written by Boxyard.",
    "127.0.0.1 localhost",
    "::1 localhost ip6-localhost",
    ...[{ name: spec.server, address: spec.address }, ...spec.neighbours].map(({ name, address }) => `${address} ${name}`),
    "",
  ];
  return {
    name: "common",
    resources: [
      file({ path: "/etc/hosts", content: hosts.join("\n") }),
      file({ path: CA_PATH, content: enrolment.caPem }),
      ...compiledCode(),
    ],
  };
}
