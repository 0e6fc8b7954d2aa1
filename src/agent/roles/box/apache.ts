import { dirname } from "node:path";
import type { BoxSpec } from "#contract/spec/box.ts";
import type { WebsiteOnServer } from "#contract/spec/website.ts";
import type { ConfigurationFile } from "../../converge/configuration.ts";
import { logDirectory, sitePaths } from "../../website/paths.ts";
import { servedDomains } from "../../website/snippets/website-facts.ts";
import { fromOwnReleasesOnly, HTACCESS } from "./containment.ts";
import { HEALTH_FILE, READY, READY_MARKER } from "./health.ts";
import { busyPage, noReleasePage, notNowPage } from "./pages.ts";
import { poolSocket } from "./php.ts";

const MODULES = [
  ...["mpm_event", "authn_core", "authn_file", "authz_core", "authz_host", "authz_user", "authz_groupfile", "auth_basic", "access_compat"],
  // "autoindex" makes no listings, since no folder has Options Indexes: it knows what .htaccess files say of them.
  ...["alias", "autoindex", "deflate", "dir", "env", "expires", "filter", "headers", "mime", "negotiation"],
  ...["proxy", "proxy_fcgi", "remoteip", "reqtimeout", "rewrite", "setenvif"],
];

/** Files that a page brings with it, by their endings; nothing that is run. */
const ASSETS = [
  ...["css", "js", "mjs", "map", "wasm", "woff2?", "ttf", "otf", "eot"],
  ...["svg", "png", "jpe?g", "gif", "webp", "avif", "ico", "mp4", "webm", "mp3"],
];

const SITES = "/etc/apache2/boxyard";

/** Apache's whole configuration: the server's own part, and a file per website. */
export function apacheFiles(spec: BoxSpec, server: string): ConfigurationFile[] {
  return [
    { path: "/etc/apache2/apache2.conf", content: mainFile(spec, server) },
    ...spec.websites.map((website) => ({ path: `${SITES}/${website.id}.conf`, content: virtualHost(website) })),
  ];
}

/** Files of websites that are no more go away. */
export const APACHE_OWNS = [{ directory: SITES, pattern: /\.conf$/ }];

function mainFile(spec: BoxSpec, server: string): string {
  const proxies = new Set([...spec.caches, ...spec.websites.flatMap((website) => website.trustedProxies)]);
  return `# Written by Boxyard.
ServerRoot "/etc/apache2"
ServerName ${server}
DefaultRuntimeDir \${APACHE_RUN_DIR}
PidFile \${APACHE_PID_FILE}
User \${APACHE_RUN_USER}
Group \${APACHE_RUN_GROUP}
Listen 80

${MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join("\n")}

StartServers 2
ThreadsPerChild 25
ServerLimit 10
MaxRequestWorkers 250
Timeout 300
# Every request has a connection of its own, as the caches ask for it: what follows an answer on a kept one could be a website's forgery.
KeepAlive Off
# An upload may pause for a minute: longer than edges and caches wait for it, so that it is never Apache that ends it.
RequestReadTimeout header=20-40,minrate=500 body=70,minrate=500
ServerTokens Prod
ServerSignature Off
TraceEnable Off
TypesConfig /etc/mime.types
AddDefaultCharset Off

ErrorLog /var/log/apache2/error.log
# Sites bring "Options" in their .htaccess; that they are not followed is no news at each request.
LogLevel warn core:error
LogFormat "%a %{Host}i %u %t \\"%r\\" %>s %B \\"%{Referer}i\\" \\"%{User-Agent}i\\" %D %{BOXYARD_RELEASE}e" boxyard

RemoteIPHeader X-Forwarded-For
${[...proxies].map((address) => `RemoteIPInternalProxy ${address}`).join("\n")}
RequestHeader unset Proxy early
# The visitor's own address, and nothing that the visitor wrote there.
RequestHeader set X-Forwarded-For "expr=%{REMOTE_ADDR}"
SetEnvIf X-Forwarded-Proto "^https$" HTTPS=on

AddOutputFilterByType DEFLATE text/html text/plain text/css text/xml text/javascript application/javascript application/json application/xml application/rss+xml image/svg+xml
# ETags stay as the application gave them, without "-gzip": it compares If-None-Match with those.
DeflateAlterETag NoChange
DirectoryIndex index.php index.html

<Directory />
  Options None
  AllowOverride None
  Require all denied
</Directory>
<DirectoryMatch "/\\.(?!well-known(?:/|$))">
  Require all denied
</DirectoryMatch>
<FilesMatch "^(?:\\.(?!well-known$)|Boxfile$)">
  Require all denied
</FilesMatch>

# The caches ask here whether the box may serve. Its agent has written that down and is not asked; since a boot it may not have looked yet.
<VirtualHost *:80>
  ServerName boxyard.invalid
  DocumentRoot /var/empty
  RewriteEngine On
  # A website that this box has not heard of yet: the caches ask another one.
  RewriteRule "!^/boxyard-health$" "-" "[E=REASON:there is no such website here,R=503,L]"
  RewriteCond "${HEALTH_FILE}" !-f
  RewriteRule "^" "-" "[E=REASON:nobody has looked yet,R=503,L]"
  RewriteCond expr "file('${HEALTH_FILE}') =~ m#^(?!${READY}\\n$)(.*)$#"
  RewriteRule "^" "-" "[E=REASON:%1,R=503,L]"
  RewriteRule "^" "${HEALTH_FILE}" [L]
  ErrorDocument 503 "%{reqenv:REASON}"
  <Directory ${dirname(HEALTH_FILE)}>
    ForceType "text/plain; charset=utf-8"
    Require all granted
  </Directory>
</VirtualHost>

IncludeOptional ${SITES}/*.conf
`;
}

/**
 * One website. Which release serves a request is read once, at its beginning, from the file in the live release; from
 * there on Apache and PHP see that release's real directory alone, so that no request mixes two.
 */
function virtualHost(website: WebsiteOnServer): string {
  const { id } = website;
  const paths = sitePaths(id);
  const [main, ...aliases] = servedDomains(website);
  const root = `${paths.releases}/%{reqenv:BOXYARD_RELEASE}/%{reqenv:BOXYARD_DOCROOT}`;
  const backend = `unix:${poolSocket(id)}|fcgi://${id}`;
  return `# Website ${id}. Written by Boxyard.
<VirtualHost *:80>
  # With the scheme, because visitors come by HTTPS: redirects of Apache's own must not lead back to HTTP.
  ServerName https://${main}:443
${aliases.map((name) => `  ServerAlias ${name}\n`).join("")}  UseCanonicalName Off
  # Not inherited from the server.
  AllowEncodedSlashes NoDecode
  DocumentRoot ${paths.current}/docroot

  RewriteEngine On
  # Since its start the box has not converged: what lies here may be of yesterday. Its agent may look all the same.
  RewriteCond "${READY_MARKER}" !-f
  RewriteCond expr "! -R '127.0.0.1'"
  RewriteRule "^" "-" [R=503,L]
  # Redirects within Apache and sub-requests keep the release of the request that they belong to.
  RewriteCond "%{ENV:REDIRECT_BOXYARD_RELEASE}" "^([0-9a-f]{40})$"
  RewriteRule "^" "-" [E=BOXYARD_RELEASE:%1,E=BOXYARD_DOCROOT:%{ENV:REDIRECT_BOXYARD_DOCROOT}]
  RewriteCond "%{ENV:BOXYARD_RELEASE}" "^$"
  RewriteCond "${paths.current}/.boxyard-release" -f
  RewriteCond expr "file('${paths.current}/.boxyard-release') =~ m#^([0-9a-f]{40})\\ndocroot=([^\\n]*)\\n#"
  RewriteRule "^" "-" [E=BOXYARD_RELEASE:%1,E=BOXYARD_DOCROOT:%2]
  RewriteCond "%{ENV:BOXYARD_RELEASE}" "^$"
  RewriteRule "^" "-" [R=503,L]
  # Pages of the release before are still open in browsers, and ask for what belongs to them.
  RewriteCond "%{REQUEST_METHOD}" "^(?:GET|HEAD)$"
  RewriteCond "${paths.releases}/%{ENV:BOXYARD_RELEASE}/%{ENV:BOXYARD_DOCROOT}%{REQUEST_URI}" !-f
  RewriteCond "${paths.previous}/.boxyard-release" -f
  RewriteCond expr "file('${paths.previous}/.boxyard-release') =~ m#^([0-9a-f]{40})\\ndocroot=([^\\n]*)\\n#"
  RewriteCond "${paths.releases}/%1/%2%{REQUEST_URI}" -f
  RewriteRule "\\.(?:${ASSETS.join("|")})$" "-" [NC,E=BOXYARD_RELEASE:%1,E=BOXYARD_DOCROOT:%2]
  ErrorDocument 503 "${website.release === null ? noReleasePage : notNowPage}"

  <Location "/">
    Alias "${root}/"
    AliasPreservePath On
  </Location>
  <Directory ${paths.releases}>
    # Links of the release are root's and lead to what is root's; those into shared folders are the website's own, and
    # lead to what is its own. A link that the application makes can therefore not show anything of somebody else.
    Options SymLinksIfOwnerMatch
    ${HTACCESS}
    CGIPassAuth On
    ErrorDocument 503 "${busyPage}"
    Require all granted
  </Directory>
  <DirectoryMatch "^${paths.releases}/[0-9a-f]{40}/(?:config|private|tmp)(?:/|$)">
    Require all denied
  </DirectoryMatch>

  <Proxy "${backend}">
    # What PHP has flushed goes on at once.
    ProxySet retry=0 timeout=300 flushpackets=on
  </Proxy>
  # PHP reads as much as CONTENT_LENGTH says: where a request does not say how long it is, Apache finds out.
  SetEnvIf Transfer-Encoding "." proxy-sendcl=1
  <FilesMatch "\\.php$">
    SetHandler "proxy:${backend}"
  </FilesMatch>
  ProxyFCGISetEnvIf "true" DOCUMENT_ROOT "${root}"
  ${fromOwnReleasesOnly(id)}

  Header onsuccess unset X-Boxyard-Release
  Header onsuccess unset X-Boxyard-Site
  Header always set X-Boxyard-Release "%{BOXYARD_RELEASE}e" env=BOXYARD_RELEASE
  Header always set X-Boxyard-Site "${id}"
  # With a status that is not about ranges it makes a cache refuse the answer; Backdrop sends it with whole pages.
  Header onsuccess unset Content-Range "expr=%{REQUEST_STATUS} !~ /^(?:206|416)$/"
  Header always unset Content-Range "expr=%{REQUEST_STATUS} !~ /^(?:206|416)$/"
  Header always set Retry-After "5" "expr=%{REQUEST_STATUS} -eq 503"

  ErrorLog ${logDirectory(id)}/error.log
  # Without the server's own probes.
  CustomLog ${logDirectory(id)}/access.log boxyard "expr=! -R '127.0.0.1'"
</VirtualHost>
`;
}
