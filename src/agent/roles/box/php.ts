import { join } from "node:path";
import type { BoxSpec } from "#contract/spec/box.ts";
import type { WebsiteOnServer } from "#contract/spec/website.ts";
import type { ConfigurationFile } from "../../converge/configuration.ts";
import { sessionDirectory } from "../../website/account.ts";
import { sitePaths } from "../../website/paths.ts";
import { environmentForPool } from "../../website/snippets/environment.ts";
import { websiteFacts } from "../../website/snippets/website-facts.ts";

const FPM = "/etc/php/8.4/fpm";
const POOLS = `${FPM}/pool.d`;

/**
 * What the agent has websites' PHP run before a switch: by the path that does not change with the platform's version, since the
 * configuration names it.
 */
export const WARM_SCRIPT = join(import.meta.dirname, "warm.php").replace(/^\/opt\/boxyard\/releases\/[^/]+\//, "/opt/boxyard/current/");

/** Debian's own pool and those of websites that are no more go away. */
export const PHP_OWNS = [{ directory: POOLS, pattern: /\.conf$/ }];

/** Where Apache reaches the website's PHP. */
export function poolSocket(id: WebsiteOnServer["id"]): string {
  return `/run/php/boxyard-${id}.sock`;
}

/** PHP-FPM's configuration: the server's own part, and a pool per website. */
export function phpFiles({ cluster, websites }: BoxSpec): ConfigurationFile[] {
  return [
    { path: `${FPM}/php-fpm.conf`, content: MAIN },
    { path: `${FPM}/conf.d/99-boxyard.ini`, content: SETTINGS },
    { path: `${POOLS}/boxyard.conf`, content: IDLE_POOL },
    ...websites.map((website) => ({ path: `${POOLS}/${website.id}.conf`, content: pool(website, cluster), mode: 0o600 })),
  ];
}

const MAIN = `; Written by Boxyard.
[global]
pid = /run/php/php8.4-fpm.pid
error_log = /var/log/php8.4-fpm.log
; A reload lets requests under way end.
process_control_timeout = 10s
include = ${POOLS}/*.conf
`;

/**
 * Time stamps are checked every two seconds, although releases never change: snippets and what applications compile
 * into shared folders do. All pools share one cache: permissions are checked, and only the agent's own script may list and empty it.
 * What APCu keeps any pool could read and change, so it keeps nothing.
 */
const SETTINGS = `; Written by Boxyard.
date.timezone = UTC
expose_php = Off
memory_limit = 256M
upload_max_filesize = 128M
post_max_size = 128M
max_execution_time = 120
; What flush() says goes out; a website that wants a buffer sets one in .user.ini.
output_buffering = Off
opcache.enable = 1
opcache.memory_consumption = 192
opcache.interned_strings_buffer = 16
opcache.max_accelerated_files = 32531
opcache.validate_timestamps = 1
opcache.revalidate_freq = 2
opcache.validate_permission = 1
opcache.restrict_api = ${WARM_SCRIPT}
apc.enabled = 0
realpath_cache_size = 4M
`;

/** PHP-FPM does not start without a pool; this one costs nothing and serves nothing. */
const IDLE_POOL = `; Written by Boxyard.
[boxyard]
user = nobody
group = nogroup
listen = /run/php/boxyard-idle.sock
pm = ondemand
pm.max_children = 1
`;

function pool(website: WebsiteOnServer, cluster: BoxSpec["cluster"]): string {
  const { id, processingUnits } = website;
  const paths = sitePaths(id);
  return `; Website ${id}. Written by Boxyard.
[${id}]
user = ${id}
group = ${id}
listen = ${poolSocket(id)}
listen.owner = www-data
listen.group = www-data
listen.mode = 0600
; As many may wait as can be served at once; the next visitor reads that the website is busy.
listen.backlog = ${processingUnits}
pm = ondemand
pm.max_children = ${processingUnits}
pm.process_idle_timeout = 60s
pm.max_requests = 1000
request_terminate_timeout = 300s
chdir = /
clear_env = yes
${environmentForPool(websiteFacts(website, cluster)).join("\n")}
env[HOME] = '${paths.site}/home'
env[PATH] = '/usr/local/bin:/usr/bin:/bin'
php_admin_value[sys_temp_dir] = ${paths.temporary}
php_admin_value[upload_tmp_dir] = ${paths.temporary}
php_admin_value[session.save_path] = ${sessionDirectory(id)}
php_admin_value[session.gc_probability] = 1
; To standard error, which Apache writes into the website's error log.
php_admin_flag[log_errors] = on
php_value[display_errors] = 0
`;
}
