import type { DatabaseAccess } from "#contract/spec/website.ts";
import { PhpCode, phpFile, phpValue } from "./php.ts";
import { CA_FILE, memcachedServers, servedDomains, type WebsiteFacts } from "./website-facts.ts";

/** Versions of Drupal that have snippets of their own. */
export const DRUPAL_VERSIONS = [7, 8, 9, 10, 11] as const;
export type DrupalVersion = (typeof DRUPAL_VERSIONS)[number];

/** The live release at each request; drush on the shell server has no web server to tell it. */
const RELEASE = "$_SERVER['BOXYARD_RELEASE'] ?? substr((string) @file_get_contents(%s), 0, 40)";

/** In the form that all versions know; 10.1 and later have a key of its own beside it, which makes the same command. */
const ISOLATION = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/** What is not the repository's business: proxies, hosts, paths, secrets, the release. */
export function drupalSite(version: DrupalVersion, facts: WebsiteFacts): string {
  const lines = version === 7 ? drupal7Site(facts) : drupal8Site(version, facts);
  return phpFile(`Drupal ${version}: the website's place on this platform.`, lines);
}

/** One database, as Drupal's default connection, over TLS with the server verified. */
export function drupalDatabase(version: DrupalVersion, database: DatabaseAccess): string {
  const connection = {
    driver: "mysql",
    database: database.name,
    username: database.user,
    password: database.password,
    host: database.host,
    port: String(database.port),
    prefix: "",
    charset: "utf8mb4",
    collation: "utf8mb4_general_ci",
    ...(version === 7
      ? {}
      : { namespace: version >= 10 ? "Drupal\\mysql\\Driver\\Database\\mysql" : "Drupal\\Core\\Database\\Driver\\mysql" }),
  };
  return phpFile(`Drupal ${version}: database ${database.name}.`, [
    `$databases['default']['default'] = ${phpValue(connection)};`,
    `$databases['default']['default']['pdo'][PDO::MYSQL_ATTR_SSL_CA] = ${phpValue(CA_FILE)};`,
    "$databases['default']['default']['pdo'][PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT] = true;",
    "// As Drupal recommends; MariaDB's own default lets requests wait for each other's locks.",
    `$databases['default']['default']['init_commands']['isolation_level'] = ${phpValue(ISOLATION)};`,
  ]);
}

/** The cluster's memcached servers for Drupal's memcache module. */
export function drupalMemcache(version: DrupalVersion, { website }: WebsiteFacts): string {
  const servers = Object.fromEntries(memcachedServers(website).map((server) => [server, "default"]));
  const prefix = `${website.id}_`;
  return phpFile(`Drupal ${version}: the cluster's memcached servers.`, [
    ...(version === 7
      ? [
          `$conf['memcache_servers'] = ${phpValue(servers)};`,
          "$conf['memcache_bins'] = ['cache' => 'default'];",
          `$conf['memcache_key_prefix'] = ${phpValue(prefix)};`,
          "$conf['memcache_extension'] = 'Memcached';",
          "$conf['cache_default_class'] = 'MemCacheDrupal';",
          "// Forms must survive a cache server that restarts.",
          "$conf['cache_class_cache_form'] = 'DrupalDatabaseCache';",
        ]
      : [
          `$settings['memcache']['servers'] = ${phpValue(servers)};`,
          "$settings['memcache']['bins'] = ['default' => 'default'];",
          `$settings['memcache']['key_prefix'] = ${phpValue(prefix)};`,
          "$settings['memcache']['extension'] = 'Memcached';",
          "$settings['cache']['default'] = 'cache.backend.memcache';",
        ]),
  ]);
}

function drupal7Site({ website, paths }: WebsiteFacts): string[] {
  return [
    `$drupal_hash_salt = ${phpValue(website.hashSalt)};`,
    "$conf['reverse_proxy'] = true;",
    `$conf['reverse_proxy_addresses'] = ${phpValue(website.trustedProxies)};`,
    "$conf['reverse_proxy_header'] = 'HTTP_X_FORWARDED_FOR';",
    `$conf['file_private_path'] = ${phpValue(`${paths.files}/private`)};`,
    `$conf['file_temporary_path'] = ${phpValue(paths.temporary)};`,
    `$conf['deployment_identifier'] = ${releaseOf(paths.current)};`,
    "// Code is read-only: modules come by git push.",
    "$conf['allow_authorize_operations'] = false;",
  ];
}

function drupal8Site(version: DrupalVersion, { website, paths }: WebsiteFacts): string[] {
  const hosts = servedDomains(website).map((name) => `^${name.replaceAll(".", "\\.")}$`);
  const forwarded = ["FOR", "PROTO"].map((part) => `\\Symfony\\Component\\HttpFoundation\\Request::HEADER_X_FORWARDED_${part}`);
  return [
    `$settings['hash_salt'] = ${phpValue(website.hashSalt)};`,
    "$settings['reverse_proxy'] = true;",
    `$settings['reverse_proxy_addresses'] = ${phpValue(website.trustedProxies)};`,
    ...(version === 8 ? [] : [`$settings['reverse_proxy_trusted_headers'] = ${phpValue(new PhpCode(forwarded.join(" | ")))};`]),
    `$settings['trusted_host_patterns'] = ${phpValue(hosts)};`,
    `$settings['file_private_path'] = ${phpValue(`${paths.files}/private`)};`,
    `$settings['file_temp_path'] = ${phpValue(paths.temporary)};`,
    `$settings['deployment_identifier'] = ${releaseOf(paths.current)};`,
    "// Code is read-only: modules come by git push.",
    "$settings['allow_authorize_operations'] = false;",
  ];
}

function releaseOf(current: string): string {
  return RELEASE.replace("%s", phpValue(`${current}/.boxyard-release`));
}
