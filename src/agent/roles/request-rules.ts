/** What edges and caches agree on about the requests of visitors. */

/** Methods that change nothing: only such a request may be sent to another server when the first one fails. */
export const ONLY_READ = ["GET", "HEAD", "OPTIONS"] as const;

/** The methods of the web, WebDAV, CalDAV and CardDAV. Any other is answered with 405. */
export const WEB_METHODS = [
  ...[...ONLY_READ, "POST", "PUT", "PATCH", "DELETE"],
  ...["PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "REPORT", "MKCALENDAR", "ACL"],
] as const;

/** Headers that the edge sets. From anyone else they claim an address, scheme or host that nobody has checked. */
export const CLAIMS = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"] as const;
