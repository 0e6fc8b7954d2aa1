import { ONLY_READ } from "../request-rules.ts";

/** What is between a visitor and the edge alone (RFC 9110, 7.6.1); lengths and encodings of bodies HAProxy sees to itself. */
const HOP_BY_HOP = ["connection", "keep-alive", "proxy-.*", "te", "trailer", "upgrade", "http2-settings"];

const SEEN_BY = [
  ...["backend", "cdn", "client", "dest(?:ination)?", "edge", "external", "frontend", "gateway", "http", "lb", "ms", "orig(?:in)?", "peer"],
  ...["public", "real", "req(?:uest(?:ed)?)?", "server", "site", "source", "target", "true", "virtual", "visitor"],
];
const SEEN = ["addr(?:ess)?", "for", "host(?:name)?", "https?", "name", "path", "port", "proto(?:col)?", "scheme", "ur[il]"];

/**
 * By these, proxies tell applications which address, host, scheme or URL a visitor has, and applications believe it. The only
 * proxy here is the edge; most of these names are of other vendors'. Regular expressions for whole names.
 */
const CLAIMS = [
  ...["x-forwar.*", ".*forwarded.*", "x-fwd-.*", "proxy", "x-prox(?:y|ied).*", "x-boxyard-.*"],
  // An address, or the name of a person.
  ...[".*-ip(?:-?addr(?:ess)?)?", ".*client-?ip.*", ".*connecting-ip(?:v6)?", ".*real-?ip", "x-(?:cluster|custom)-.*ip.*"],
  ...["x-originating-.*", "x-ip-.*", "x-?coming-?from", "coming-from", "x-?ff", "x-imforwards", ".*remote-?addr", "(?:x-)?remote-.*"],
  ...["x-(?:auth-request|authenticated|webauth)-.*", "(?:x-)?auth-user"],
  // A host, a scheme or a URL, as it was seen somewhere.
  `(?:x-)?(?:${SEEN_BY.join("|")})-(?:${SEEN.join("|")})`,
  ...["x-host.*", "(?:x-)?host(?:name)?-override", "x-http-host.*", "x-?vhost", "x-port"],
  ...["(?:x-)?front-end-.*", "https", "(?:x-)?(?:url-)?scheme", "x-(?:is-)?(?:https?|secure)", "x-proto(?:col)?"],
  ...["user-agent-https", "(?:.*-)?ssl"],
  // A client's certificate.
  ...["x-(?:ssl|tls|client-cert).*", "ssl-.*"],
  // A URL, or a file.
  ...["x-(?:.*-)?original-.*", "x-(?:rewrite|override|replaced)-.*", "x-ur[il]", ".*unencoded-ur[il]", "x-http-(?:destinationurl|path.*)"],
  ...["x-(?:accel-.*|sendfile.*)", "request-uri", "(?:x-)?(?:script-name|path-info|document-uri|base-ur[il]|base-path)"],
  ...["x-path", "x-full-ur[il]", "x-cluster-host"],
  // Whole families.
  ...["cf-.*", "fastly-.*", "cloudfront-.*", "x-arr-.*", "x-azure-.*", "x-appengine-.*", "x-envoy-.*", "x-nf-.*", "x-sucuri-.*"],
  ...["wl-proxy-.*", "x-vercel-.*", "x-wsgi-.*", "x-ingress-.*", "x-webobjects-.*", "(?:x-)?geo-?ip-.*", "x-geo-.*", "x-country-code"],
  // That a cache puts pages together from parts, which ours do not.
  "surrogate-capability",
];

/** WordPress' REST interface takes another method from these also where the answer to a GET is stored. Forms need them with POST. */
const OTHER_METHOD = ["x-http-method", "x-http-method-override", "x-method-override"];

/** Where the edge's own program in Lua is. */
export const NAMED_HEADERS = "/etc/haproxy/named-headers.lua";

/**
 * A header that a visitor names in Connection ends here, too. HAProxy's rules cannot remove a header by a name that stands in
 * another one, so that this is Lua. What says where a request goes and how long it is stays.
 */
export const NAMED_HEADERS_LUA = `-- Written by Boxyard; changes are overwritten.
local stays = { ["host"] = true, ["content-length"] = true, ["transfer-encoding"] = true }
core.register_action("drop_named_headers", { "http-req" }, function(txn)
  local connection = txn.http:req_get_headers()["connection"] or {}
  for _, line in pairs(connection) do
    for name in line:lower():gmatch("[^%s,]+") do
      if not stays[name] then
        txn.http:req_del_header(name)
      end
    end
  end
end)
`;

/** HAProxy's rules for the headers that a visitor sent; they come before those that set the edge's own. */
export function visitorHeaderRules(): string[] {
  return [
    // Nearly all say nothing, or one of two words.
    "http-request lua.drop_named_headers if { req.hdr_cnt(connection) gt 1 } || { req.hdr_cnt(connection) eq 1 } !{ req.hdr(connection),lower -m str close keep-alive }",
    deleteHeaders([...HOP_BY_HOP, ...CLAIMS]),
    // To PHP and its like "_" and "-" are one: a name with anything else in it could stand for another.
    `http-request del-header '[^A-Za-z0-9-]' -m reg`,
    `${deleteHeaders(OTHER_METHOD)} unless { method POST }`,
  ];
}

/** For a backend: once sent, only what changes nothing is sent to another server. What no server has received yet always is. */
export const ONLY_READ_AGAIN = `http-request disable-l7-retry unless { method ${ONLY_READ.join(" ")} }`;

function deleteHeaders(names: readonly string[]): string {
  return `http-request del-header '(?i)^(?:${names.join("|")})$' -m reg`;
}
