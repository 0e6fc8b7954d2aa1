import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "#base/atomic-file.ts";
import type { EdgeSpec } from "#contract/spec/edge.ts";
import { configuration } from "../../converge/configuration.ts";
import { directory } from "../../converge/file.ts";
import type { Resource } from "../../converge/resource.ts";
import { systemctl, unit } from "../../converge/unit.ts";
import type { RunningRole } from "../role.ts";
import {
  EDGE_DROP_IN,
  EDGE_PATHS,
  edgeConfigName,
  mapText,
  renderDomainMap,
  renderEdgeConfig,
  renderRedirectMap,
  renderWebsiteMap,
} from "./config.ts";
import { certificateListText, runningConfiguration, runTimeCertificates, runTimeMap } from "./run-time.ts";
import { NAMED_HEADERS, NAMED_HEADERS_LUA } from "./visitor-headers.ts";

/** An edge router: HAProxy, whose clusters change by a seamless reload, and domains and certificates at run time. */
export async function startEdge(): Promise<RunningRole<EdgeSpec>> {
  return {
    groups: (spec) => {
      const { chainPem, keyPem } = spec.defaultCertificate;
      return [
        {
          name: "edge",
          resources: [
            directory({ path: "/etc/haproxy/maps" }),
            directory({ path: EDGE_PATHS.certificates, mode: 0o700 }),
            firstFile(EDGE_PATHS.domains, mapText(renderDomainMap(spec))),
            firstFile(EDGE_PATHS.redirects, mapText(renderRedirectMap(spec))),
            firstFile(EDGE_PATHS.websites, mapText(renderWebsiteMap(spec))),
            firstFile(EDGE_PATHS.certificateList, certificateListText([]), EDGE_PATHS.defaultCertificate),
            configuration({
              id: "haproxy-service",
              files: [EDGE_DROP_IN],
              check: null,
              activate: [systemctl.daemonReload(), systemctl.act("try-restart", "haproxy.service")],
              restarts: "haproxy.service",
            }),
            configuration({
              id: "haproxy",
              files: [
                { path: EDGE_PATHS.defaultCertificate, content: `${chainPem.trimEnd()}\n${keyPem.trimEnd()}\n`, mode: 0o600 },
                { path: NAMED_HEADERS, content: NAMED_HEADERS_LUA },
                { path: EDGE_PATHS.config, content: renderEdgeConfig(spec) },
              ],
              check: ["haproxy", "-c", "-f", EDGE_PATHS.config],
              activate: [systemctl.atBoot("enable", "haproxy.service"), systemctl.act("reload-or-restart", "haproxy.service")],
            }),
            unit({ unit: "haproxy.service", running: true, atBoot: true }),
            runningConfiguration(edgeConfigName(spec.clusters)),
          ],
        },
        // Apart from the configuration: a domain goes live although a new cluster's configuration was refused.
        {
          name: "edge domains",
          resources: [
            runTimeCertificates(spec.certificates),
            runTimeMap(EDGE_PATHS.redirects, renderRedirectMap(spec)),
            // Before the domains: no visitor is to come by a domain whose website is not known.
            runTimeMap(EDGE_PATHS.websites, renderWebsiteMap(spec)),
            runTimeMap(EDGE_PATHS.domains, renderDomainMap(spec)),
          ],
        },
      ];
    },
    stop: async () => undefined,
  };
}

/** A file that the configuration names and that has to begin so before HAProxy's first start; the rest others keep. */
function firstFile(path: string, content: string, start = ""): Resource {
  return {
    id: `first ${path}`,
    mismatch: async () => {
      const have = await readFile(path, "utf8").catch(() => null);
      return have?.startsWith(start) ? null : "is missing or begins otherwise";
    },
    apply: () => writeFileAtomic(path, content),
  };
}
