import type { CacheSpec } from "#contract/spec/cache.ts";
import { CLAIMED_HEADERS, ONLY_READ, WEB_METHODS } from "../request-rules.ts";
import { HELD, HOLD_STEPS, HOLDS, LONGEST_HOLD_SECONDS } from "./holds.ts";

/** What tests have otherwise. */
interface VclOptions {
  readonly holds?: string;
  readonly begunSeconds?: number;
}

/** The VCL of a cluster's cache server, for Varnish 7 (VCL 4.1). */
export function renderVcl(spec: CacheSpec, { holds = HOLDS, begunSeconds = BEGUN_SECONDS }: VclOptions = {}): string {
  const received = [renderAccess(spec), renderHold(holds), renderReceive(holds)];
  return [HEAD, renderBackends(spec), ...received, renderFetch(spec, begunSeconds), DELIVER].join("\n");
}

const HEAD = `# Written by Boxyard; changes are overwritten.
vcl 4.1;
import std;
import directors;
import vtc;
`;

/** Asked of the box's web server, so that it vouches for that, and tells what the box's agent has last found. */
const PROBE = `probe health {
  .request = "GET /boxyard-health HTTP/1.1" "Host: boxyard-health" "Connection: close";
  .interval = 1s;
  .timeout = 1s;
  .window = 4;
  .threshold = 2;
  .initial = 1;
}
`;

/** PHP ends a request after 300 s; before that nobody gives up. */
const FIRST_BYTE_SECONDS = 310;

/** Places of each box on the ring: with so many all get nearly the same share. */
const REPLICAS = 300;

function renderBackends({ boxes }: CacheSpec): string {
  const backends = boxes.map(renderBackend);
  const director = [
    "sub vcl_init {",
    "  new boxes = directors.shard();",
    ...boxes.map(({ name }) => `  boxes.add_backend(${name});`),
    `  boxes.reconfigure(replicas = ${REPLICAS});`,
    "}",
    "",
  ];
  // Without a box there is nothing to balance over, and VCL wants a backend all the same.
  if (boxes.length === 0) return ["backend none none;", "sub vcl_init {", "  new boxes = directors.shard();", "}", ""].join("\n");
  return [PROBE, ...backends, ...director].join("\n");
}

function renderBackend({ name, address }: CacheSpec["boxes"][number]): string {
  return [
    `backend ${name} {`,
    `  .host = "${address}";`,
    `  .port = "80";`,
    "  .probe = health;",
    "  .connect_timeout = 2s;",
    `  .first_byte_timeout = ${FIRST_BYTE_SECONDS}s;`,
    `  .between_bytes_timeout = ${FIRST_BYTE_SECONDS}s;`,
    "  .max_connections = 200;",
    "}",
  ].join("\n");
}

/** Who is believed, and who may purge. An empty list matches nobody. */
function renderAccess({ edges, purgers }: CacheSpec): string {
  return [renderAcl("edges", edges), renderAcl("purgers", purgers)].join("\n");
}

function renderAcl(name: string, addresses: readonly string[]): string {
  const entries = addresses.length === 0 ? [`  ! "0.0.0.0"/0;`] : addresses.map((address) => `  "${address}";`);
  return [`acl ${name} {`, ...entries, "}", ""].join("\n");
}

/** The form of a host that may be a domain of a website: nothing else becomes part of a path. */
const HOST = "^[a-z0-9][a-z0-9.-]*$";

/**
 * Lets a request to a box wait while its domain is held. VCL has no loops: there is one way to wait for each power of two of
 * seconds, and every quarter of a second the file system is asked. `vtc` is Varnish's own module for its tests; nothing else
 * lets a request wait without losing its body.
 */
function renderHold(holds: string): string {
  const isHeld = `std.file_exists(bereq.http.X-Boxyard-Hold + "/${HELD}")`;
  const quarter = `  if (${isHeld}) {\n    vtc.sleep(0.25s);\n  }`;
  const [shortest, ...longer] = [...HOLD_STEPS].reverse();
  const parts = HOLD_STEPS.map(
    (n) => `      if (std.file_exists(bereq.http.X-Boxyard-Hold + "/${n}")) {\n        call wait_${n};\n      }`,
  );
  return [
    `sub wait_${shortest} {`,
    ...Array.from({ length: 4 }, () => quarter),
    "}",
    "",
    ...longer.flatMap((n) => [`sub wait_${n} {`, `  call wait_${n / 2};`, `  call wait_${n / 2};`, "}", ""]),
    "sub vcl_backend_fetch {",
    `  if (bereq.http.Host ~ "${HOST}") {`,
    `    set bereq.http.X-Boxyard-Hold = "${holds}/domains/" + bereq.http.Host;`,
    `    if (${isHeld}) {`,
    ...parts,
    `      if (${isHeld}) {`,
    `        return (error(503, "Held for too long"));`,
    "      }",
    `      set bereq.http.X-Boxyard-Waited = "yes";`,
    "    }",
    "    unset bereq.http.X-Boxyard-Hold;",
    "  }",
    "}",
    "",
  ].join("\n");
}

function renderReceive(holds: string): string {
  return RECEIVE.replace("IS_HELD", `req.http.host ~ "${HOST}" && std.file_exists("${holds}/domains/" + req.http.host + "/${HELD}")`);
}

const RECEIVE = `sub vcl_recv {
  set req.http.host = std.tolower(regsub(req.http.host, ":[0-9]+$", ""));
  if (req.method == "GET" && req.url == "/boxyard-health" && req.http.host !~ "[.]") {
    return (synth(200, "OK"));
  }
  if (req.method == "PURGE") {
    if (client.ip !~ purgers) {
      return (synth(405, "PURGE is not allowed from here"));
    }
    return (purge);
  }
  # Only edges and the cluster's own servers speak to a cache; only edges know who the visitor is.
  if (client.ip !~ edges && client.ip !~ purgers) {
    return (synth(403, "Visitors come through an edge router"));
  }
  # Other methods that are meant for a cache, BAN and its like: an application would answer 200 to them, and nothing had happened.
  if (req.method !~ "^(${WEB_METHODS.join("|")})$") {
    return (synth(405, "This method is not known here"));
  }
  unset req.http.X-Boxyard-Release;
  unset req.http.X-Boxyard-Hold;
  unset req.http.X-Boxyard-Waited;
  # Several ranges are answered with the whole: Varnish reads neither such a request nor the answer to it.
  if (req.http.Range ~ ",") {
    unset req.http.Range;
  }
  # Requests are dealt out evenly by their number; one that fails is dealt to another box, never to the same again.
  set req.http.X-Boxyard-Turn = req.xid;
  set req.backend_hint = boxes.backend(by = KEY, key = boxes.key(req.http.X-Boxyard-Turn));

  # What a website's code asks for is answered to it alone: it could say what it likes of scheme, host and visitor.
  if (client.ip !~ edges) {
${CLAIMED_HEADERS.map((header) => `    unset req.http.${header};`).join("\n")}
    unset req.http.X-Boxyard-Site;
    return (pass);
  }
  if (req.method != "GET" && req.method != "HEAD") {
    return (pass);
  }
  if (req.http.Authorization) {
    return (pass);
  }
  # Where people log in, an application must see every cookie that it has set.
  if (req.url ~ "^/(wp-login[.]php|wp-admin(/|$)|wp-cron[.]php|xmlrpc[.]php|user(/login)?([?]|$)|admin(/|[?]|$)|cron[.]php|update[.]php|install[.]php)") {
    return (pass);
  }
  # The session cookies of Drupal and WordPress stay, all others do not reach the boxes.
  if (req.http.Cookie) {
    set req.http.Cookie = ";" + req.http.Cookie;
    set req.http.Cookie = regsuball(req.http.Cookie, "; +", ";");
    set req.http.Cookie = regsuball(req.http.Cookie, ";(S?SESS[a-f0-9]+|NO_CACHE|wordpress_logged_in_[^=]+|wordpress_sec_[^=]+|wordpress_[a-f0-9]+|wp-postpass_[^=]+|comment_author_[^=]+)=", "; \\1=");
    set req.http.Cookie = regsuball(req.http.Cookie, ";[^ ][^;]*", "");
    set req.http.Cookie = regsuball(req.http.Cookie, "^[; ]+|[; ]+$", "");
    if (req.http.Cookie == "") {
      unset req.http.Cookie;
    } else {
      return (pass);
    }
  }
  # Pages are delivered a little stale while a box renews them, and for long when no box can, or is to.
  if (std.healthy(req.backend_hint) && !(IS_HELD)) {
    set req.grace = 10s;
  }
  return (hash);
}

# A domain that has changed hands: what is stored under it is another website's.
sub vcl_hit {
  if (req.http.X-Boxyard-Site && req.http.X-Boxyard-Site != obj.http.X-Boxyard-Site) {
    set req.hash_always_miss = true;
    return (restart);
  }
}

# Without the scheme: visitors come by HTTPS alone, and who purges a page need not know that.
sub vcl_hash {
  hash_data(req.url);
  hash_data(req.http.host);
  return (lookup);
}
`;

/**
 * A box that has gone is noticed after some 12 s (see the sysctl in role.ts). What fails later had been begun, and goes on
 * for all that a cache knows: it is not begun again beside itself.
 */
const BEGUN_SECONDS = 30;

/** At most so many other boxes are asked. */
const MOST_OTHERS = 2;

function renderFetch({ boxes }: CacheSpec, begunSeconds: number): string {
  const others = Math.min(MOST_OTHERS, Math.max(0, boxes.length - 1));
  const reads = ONLY_READ.map((method) => `bereq.method == "${method}"`).join(" || ");
  const early = [
    `beresp.time - bereq.time < ${begunSeconds}s`,
    `bereq.http.X-Boxyard-Waited && beresp.time - bereq.time < ${begunSeconds + LONGEST_HOLD_SECONDS}s`,
  ].join(" || ");
  return FETCH.replaceAll("MAY_ASK_ANOTHER", `bereq.retries < ${others} && (${reads}) && (${early})`).replace(
    "SAYS_HOW",
    STORING.map((name) => `beresp.http.${name}`).join(" || "),
  );
}

/** By these an application says whether and how long a page may be stored, if only that it must be asked first. */
const STORING = ["Cache-Control", "Expires", "Pragma", "Surrogate-Control", "CDN-Cache-Control"];

const FETCH = `sub vcl_backend_fetch {
  unset bereq.http.X-Boxyard-Site;
  set bereq.backend = boxes.backend(by = KEY, key = boxes.key(bereq.http.X-Boxyard-Turn), alt = bereq.retries);
  # Every request has a connection of its own. A website says by its headers where its answer ends, and what it sends after that would be
  # taken for the answer to whoever comes next; and on a kept connection that closes without an answer Varnish sends a request
  # without a body once more, whatever it changes.
  set bereq.http.Connection = "close";
}

sub vcl_backend_response {
  set beresp.grace = 24h;
  set beresp.http.X-Boxyard-Url = bereq.url;
  if (beresp.status >= 500) {
    # Another box may do better; what changes something is never asked for twice.
    if (beresp.status == 503 && MAY_ASK_ANOTHER) {
      return (retry);
    }
    # A stale page is better than an error page.
    if (bereq.is_bgfetch) {
      return (abandon);
    }
    set beresp.uncacheable = true;
    set beresp.ttl = 1s;
    return (deliver);
  }
  # Each may come in several lines.
  std.collect(beresp.http.Vary);
  std.collect(beresp.http.Cache-Control);
  std.collect(beresp.http.Surrogate-Control);
  if (beresp.http.Set-Cookie || beresp.http.Vary ~ "[*]" || beresp.http.Cache-Control ~ "(?i)(private|no-store|no-cache)" || beresp.http.Surrogate-Control ~ "(?i)no-store") {
    set beresp.uncacheable = true;
    set beresp.ttl = 120s;
    return (deliver);
  }
  # Stored as the headers say; what has a date and says nothing of storing it is stored for a moment.
  if (beresp.http.Last-Modified && beresp.status == 200 && !(SAYS_HOW)) {
    set beresp.ttl = 120s;
  }
  if (beresp.ttl <= 0s) {
    set beresp.uncacheable = true;
    set beresp.ttl = 120s;
  }
}

sub vcl_backend_error {
  if (!bereq.http.X-Boxyard-Hold && MAY_ASK_ANOTHER) {
    return (retry);
  }
  set beresp.http.Content-Type = "text/html; charset=utf-8";
  set beresp.http.Retry-After = "5";
  set beresp.http.Cache-Control = "no-store";
  set beresp.body = {"<!doctype html><meta charset=utf-8><title>One moment, please</title><style>body{font:18px/1.5 system-ui;max-width:36rem;margin:4rem auto;padding:0 1rem}</style><h1>One moment, please</h1><p>This website cannot answer right now. Please try again in a few seconds.</p>"};
  return (deliver);
}
`;

const DELIVER = `sub vcl_deliver {
  if (obj.hits > 0) {
    set resp.http.X-Cache = "HIT";
  } elsif (req.method != "GET" && req.method != "HEAD" || obj.uncacheable) {
    set resp.http.X-Cache = "PASS";
  } else {
    set resp.http.X-Cache = "MISS";
  }
  unset resp.http.X-Boxyard-Site;
  unset resp.http.X-Boxyard-Url;
  unset resp.http.X-Varnish;
  unset resp.http.Via;
}

sub vcl_synth {
  set resp.http.Content-Type = "text/plain; charset=utf-8";
  set resp.body = resp.reason + {"
"};
  return (deliver);
}
`;
