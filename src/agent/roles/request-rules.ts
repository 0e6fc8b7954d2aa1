/** What edges and caches agree on about the requests of visitors. */

/** Methods that change nothing: only such a request may be sent to another server when the first one fails. */
export const ONLY_READ = ["GET", "HEAD", "OPTIONS"] as const;

/** The methods of the web, WebDAV, CalDAV and CardDAV. Any other is answered with 405. */
export const WEB_METHODS = [
  ...[...ONLY_READ, "POST", "PUT", "PATCH", "DELETE"],
  ...["PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "REPORT", "MKCALENDAR", "ACL"],
] as const;

/**
 * By these, applications believe an address, scheme, host or URL. The edge sets some of them and lets none pass; a cache
 * takes them from nobody else either, by name, because it knows no patterns.
 */
export const CLAIMED_HEADERS = [
  ...["For", "By", "Host", "Https", "Path", "Port", "Prefix", "Proto", "Protocol", "Scheme", "Server", "Ssl", "URI", "User"].map(
    (what) => `X-Forwarded-${what}`,
  ),
  ...["Forwarded", "Forwarded-For", "X-Forwarded", "X-Real-IP", "X-Client-IP", "Client-IP", "True-Client-IP", "X-Cluster-Client-IP"],
  ...["CF-Connecting-IP", "CF-Visitor", "Fastly-Client-IP", "X-Remote-IP", "X-Remote-Addr", "X-Originating-IP", "Remote-User"],
  ...["X-Original-URL", "X-Original-URI", "X-Original-Host", "X-Rewrite-URL", "X-Host", "X-HTTP-Host-Override", "X-Scheme", "X-Url-Scheme"],
  ...["X-Accel-Mapping", "Front-End-Https", "X-Arr-Ssl", "CloudFront-Forwarded-Proto", "HTTPS", "Proxy", "User-Agent-Https"],
] as const;
