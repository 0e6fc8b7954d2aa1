import { createHash } from "node:crypto";
import type { EdgeSpec } from "#contract/spec/edge.ts";
import { WEB_METHODS } from "../request-rules.ts";
import { NAMED_HEADERS, NAMED_HEADERS_LUA, ONLY_READ_AGAIN, visitorHeaderRules } from "./visitor-headers.ts";

/** Where HAProxy finds what changes at run time. */
export const EDGE_PATHS = {
  config: "/etc/haproxy/haproxy.cfg",
  domains: "/etc/haproxy/maps/domains.map",
  redirects: "/etc/haproxy/maps/redirects.map",
  websites: "/etc/haproxy/maps/websites.map",
  certificates: "/etc/haproxy/certificates",
  certificateList: "/etc/haproxy/certificates.list",
  defaultCertificate: "/etc/haproxy/default.pem",
  socket: "/run/haproxy/admin.sock",
} as const;

/**
 * haproxy.cfg for HAProxy 3.0. It depends on the clusters alone: domains and certificates stand in maps and lists, which
 * change at run time.
 */
export function renderEdgeConfig({ clusters }: Pick<EdgeSpec, "clusters">): string {
  const rest = [DEFAULTS, FRONTENDS, ...clusters.map(renderBackend), NOWHERE];
  return [GLOBAL, `  description ${edgeConfigName(clusters)}\n`, ...rest].join("\n");
}

/** The configuration's name for itself: the running process tells by it which configuration it has. */
export function edgeConfigName(clusters: EdgeSpec["clusters"]): string {
  const content = [NAMED_HEADERS_LUA, GLOBAL, DEFAULTS, FRONTENDS, ...clusters.map(renderBackend), NOWHERE].join("\n");
  return `boxyard-${createHash("sha256").update(content).digest("hex").slice(0, 16)}`;
}

/** A connection takes two file descriptors: one to the visitor, one to a cache. */
const MAX_CONNECTIONS = 7_000;
/** So many visitors of a cluster may wait for caches that do not count as up. */
const MOST_UNCHECKED = 1_000;

/** Debian's unit leaves the limit of file descriptors at 1024, with which HAProxy refuses to start. */
export const EDGE_DROP_IN = {
  path: "/etc/systemd/system/haproxy.service.d/boxyard.conf",
  content: `# Written by Boxyard.\n[Service]\nLimitNOFILE=${2 * MAX_CONNECTIONS + 1_000}\n`,
};

const GLOBAL = `# Written by Boxyard; changes are overwritten.
global
  log stdout format raw local0 notice
  user haproxy
  group haproxy
  stats socket ${EDGE_PATHS.socket} mode 600 level admin expose-fd listeners
  hard-stop-after 30m
  # HTTP/3 with Debian's OpenSSL: without 0-RTT, which is no loss here.
  limited-quic
  lua-load-per-thread ${NAMED_HEADERS}
  maxconn ${MAX_CONNECTIONS}
  tune.bufsize 32768
  ssl-default-bind-options ssl-min-ver TLSv1.2
  ssl-default-bind-ciphers ECDHE+AESGCM:ECDHE+CHACHA20
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256`;

const DEFAULTS = `defaults
  mode http
  log global
  option dontlognull
  option http-keep-alive
  option redispatch 1
  retries 3
  retry-on conn-failure empty-response
  timeout connect 3s
  timeout client 60s
  # Longer than a cache waits for a box, and a request for a website whose visitors wait.
  timeout server 380s
  timeout http-request 15s
  timeout http-keep-alive 30s
  timeout queue 15s
  timeout tunnel 1h
${[502, 503, 504].map((status) => `  http-error status ${status} content-type "text/html; charset=utf-8" string "${page("One moment, please", "This website cannot answer right now. Please try again in a few seconds.")}"`).join("\n")}
`;

const NOT_ALLOWED = `http-request return status 405 content-type text/plain string "This method is not allowed here." hdr Allow "${WEB_METHODS.join(", ")}" unless { method ${WEB_METHODS.join(" ")} }`;

const FRONTENDS = `frontend http
  bind :80
  ${NOT_ALLOWED}
  http-request set-var(txn.host) req.hdr(host),field(1,:),lower,rtrim(.)
  http-request return status 404 content-type "text/html; charset=utf-8" lf-string "${page("No website here", "This server carries no website of that name.")}" unless { var(txn.host),map_str(${EDGE_PATHS.domains}) -m found } || { var(txn.host),map_str(${EDGE_PATHS.redirects}) -m found }
  http-request redirect code 301 location https://%[var(txn.host)]%[pathq]

frontend https
  bind :443 ssl crt-list ${EDGE_PATHS.certificateList} alpn h2,http/1.1
  bind quic4@:443 ssl crt-list ${EDGE_PATHS.certificateList} alpn h3
  http-request set-var(txn.host) req.hdr(host),field(1,:),lower,rtrim(.)
  ${NOT_ALLOWED}
${visitorHeaderRules()
  .map((rule) => `  ${rule}`)
  .join("\n")}
  # A whole URL in place of a path has its scheme and host from the visitor.
  http-request set-uri %[pathq] if { url -m reg -i ^[a-z][a-z0-9+.-]*:// } { path -m beg / }
  http-request redirect code 301 location https://%[var(txn.host),map_str(${EDGE_PATHS.redirects})]%[pathq] if { var(txn.host),map_str(${EDGE_PATHS.redirects}) -m found }
  http-request set-header Host %[var(txn.host)]
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto https
  http-request set-header X-Forwarded-Port 443
  http-request set-header X-Forwarded-Host %[var(txn.host)]
  # Whose pages the caches may answer with.
  http-request set-header X-Boxyard-Site %[var(txn.host),map_str(${EDGE_PATHS.websites})] if { var(txn.host),map_str(${EDGE_PATHS.websites}) -m found }
  http-after-response set-header alt-svc 'h3=":443"; ma=86400'
  use_backend %[var(txn.host),map_str(${EDGE_PATHS.domains},nowhere)]
`;

const NOWHERE = `backend nowhere
  http-request return status 404 content-type "text/html; charset=utf-8" lf-string "${page("No website here", "This server carries no website of that name.")}"
`;

/**
 * Both caches take part: the same URL goes to the same cache while it is up, to the other when it is not. When none counts as
 * up, visitors are sent to them all the same: a busy machine makes caches late for a check that answer a moment later. Not
 * all visitors, since those of other clusters want connections, too.
 */
function renderBackend({ id, caches }: EdgeSpec["clusters"][number]): string {
  return [
    `backend ${id}`,
    // Without the authority, which requests over HTTP/2 carry in their URI and those over HTTP/1 do not.
    "  balance uri whole path-only",
    "  hash-type consistent",
    "  option httpchk GET /boxyard-health",
    "  http-check expect status 200",
    "  default-server inter 1s fall 2 rise 2 maxconn 2000 pool-max-conn 100",
    "  option allbackups",
    `  ${ONLY_READ_AGAIN}`,
    `  http-request deny deny_status 503 if { be_conn gt ${MOST_UNCHECKED} } ${caches.map(({ name }) => `!{ srv_is_up(${name}) }`).join(" ")}`,
    ...caches.map(({ name, address }) => `  server ${name} ${address}:80 check`),
    ...caches.map(({ name, address }) => `  server ${name}-unchecked ${address}:80 backup`),
    "",
  ].join("\n");
}

/** The domains that lead to a cluster, as HAProxy's map: key, then backend. */
export function renderDomainMap({ domains }: Pick<EdgeSpec, "domains">): Map<string, string> {
  return new Map(domains.filter(({ redirectTo }) => redirectTo === null).map(({ name, cluster }) => [name, cluster]));
}

/** The website of each domain that leads to one: key, then id. */
export function renderWebsiteMap({ domains }: Pick<EdgeSpec, "domains">): Map<string, string> {
  return new Map(domains.filter(({ redirectTo }) => redirectTo === null).map(({ name, website }) => [name, website]));
}

/** The domains that send visitors elsewhere: key, then the other domain. */
export function renderRedirectMap({ domains }: Pick<EdgeSpec, "domains">): Map<string, string> {
  return new Map(domains.flatMap(({ name, redirectTo }) => (redirectTo === null ? [] : [[name, redirectTo] as const])));
}

/** A map as its file has it. */
export function mapText(map: ReadonlyMap<string, string>): string {
  return [...map].map(([key, value]) => `${key} ${value}\n`).join("");
}

/** A small page in one line, quoted for HAProxy's configuration. */
function page(title: string, text: string): string {
  const style = "body{font:18px/1.5 system-ui;max-width:36rem;margin:4rem auto;padding:0 1rem}";
  return `<!doctype html><meta charset=utf-8><title>${title}</title><style>${style}</style><h1>${title}</h1><p>${text}</p>`;
}
