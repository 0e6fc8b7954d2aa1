import type { WebsiteOnServer } from "#contract/spec/website.ts";
import type { NftTableWant } from "../../converge/nft-table.ts";
import { sitePaths } from "../../website/paths.ts";

/**
 * What a website may say in `.htaccess` of class FileInfo: all of it that Drupal, WordPress and their like use. Not among
 * them is what says how PHP is spoken to: ProxyFCGISetEnvIf and ProxyFCGIBackendType.
 */
const FILE_INFO = [
  ...["AcceptPathInfo", "AddDefaultCharset", "EnableMMAP", "EnableSendfile", "ErrorDocument", "FileETag", "ForceType"],
  ...["QualifyRedirectURL", "SetHandler", "SetInputFilter", "SetOutputFilter"],
  ...["Redirect", "RedirectMatch", "RedirectPermanent", "RedirectTemp"],
  ...["PassEnv", "SetEnv", "UnsetEnv", "BrowserMatch", "BrowserMatchNoCase", "SetEnvIf", "SetEnvIfExpr", "SetEnvIfNoCase"],
  ...["Header", "RequestHeader"],
  ...["AddCharset", "AddEncoding", "AddHandler", "AddInputFilter", "AddLanguage", "AddOutputFilter", "AddType", "DefaultLanguage"],
  ...["MultiviewsMatch", "RemoveCharset", "RemoveEncoding", "RemoveHandler", "RemoveInputFilter", "RemoveLanguage"],
  ...["RemoveOutputFilter", "RemoveType", "ForceLanguagePriority", "LanguagePriority"],
  ...["AddOutputFilterByType", "FilterChain", "FilterDeclare", "FilterProtocol", "FilterProvider"],
  ...["RewriteBase", "RewriteCond", "RewriteEngine", "RewriteOptions", "RewriteRule"],
];

/** What `.htaccess` files may change; the rest of them is ignored, without an error. */
export const HTACCESS = `AllowOverride AuthConfig Indexes Limit Nonfatal=Override
    AllowOverrideList ${FILE_INFO.join(" ")}`;

/**
 * All websites' requests come from one Apache, and a handler or a rewrite in `.htaccess` can name another website's socket.
 * So whatever PHP hears from this website's requests is a file of this website's releases, which no other account may
 * read, and brings no setting along that only the pool's owner may set.
 */
export function fromOwnReleasesOnly(id: WebsiteOnServer["id"]): string {
  const own = `^(?:proxy:fcgi://[^/]*)?${sitePaths(id).releases}/[0-9a-f]{40}/`;
  const foreign = (name: string): string => `%{reqenv:${name}} !~ m#${own}# || %{reqenv:${name}} =~ m#/\\.\\.(?:/|$)#`;
  return `ProxyFCGISetEnvIf "true" !PHP_ADMIN_VALUE
  ProxyFCGISetEnvIf "true" !PHP_VALUE
  ProxyFCGISetEnvIf "${foreign("SCRIPT_FILENAME")}" SCRIPT_FILENAME "${sitePaths(id).releases}/none"
  ProxyFCGISetEnvIf "${foreign("PATH_TRANSLATED")}" !PATH_TRANSLATED`;
}

/** Where nft(8) finds the rules, before Apache starts. */
export const OUTGOING = "/etc/boxyard/apache-outgoing.nft";

/**
 * No file that Apache writes is longer, in bytes: a body without a length lies on disk before PHP gets it, and LimitRequestBody does
 * not count what is handed on to PHP. Logs are rotated long before.
 */
const LONGEST_FILE = 512 * 2 ** 20;

export const OUTGOING_DROP_IN = {
  path: "/etc/systemd/system/apache2.service.d/boxyard.conf",
  content: `# Written by Boxyard.
[Service]
# On disk, where /tmp is memory; the unit has one of its own, which goes when Apache stops.
Environment=TMPDIR=/var/tmp
LimitFSIZE=${LONGEST_FILE}
ExecStartPre=/usr/sbin/nft -f ${OUTGOING}
`,
};

export const OUTGOING_TABLE = { table: "boxyard_apache", file: OUTGOING } as const satisfies NftTableWant;

const TABLE = `table inet ${OUTGOING_TABLE.table}`;

/** Rules of nft(8): Apache answers, and begins no connection of its own; a rewrite with [P] leads nowhere. */
export const OUTGOING_RULES = `# Written by Boxyard.
${TABLE}
delete ${TABLE}
${TABLE} {
  chain output {
    type filter hook output priority 0; policy accept;
    meta skuid "www-data" tcp flags & (syn | ack) == syn reject with tcp reset
    meta skuid "www-data" meta l4proto udp reject
  }
}
`;
