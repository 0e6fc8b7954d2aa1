import { createHmac } from "node:crypto";
import type { DatabaseAccess } from "#contract/spec/website.ts";
import { PhpCode, type PhpValue, phpFile, phpValue } from "./php.ts";
import { memcachedServers, type WebsiteFacts } from "./website-facts.ts";

const SALTS = [
  "AUTH_KEY",
  "SECURE_AUTH_KEY",
  "LOGGED_IN_KEY",
  "NONCE_KEY",
  "AUTH_SALT",
  "SECURE_AUTH_SALT",
  "LOGGED_IN_SALT",
  "NONCE_SALT",
];

/** What is not the repository's business: encryption, keys and salts, temporary files, updates by git push only. */
export function wordpressSite({ website, paths }: WebsiteFacts): string {
  return phpFile("WordPress: the website's place on this platform.", [
    "if (($_SERVER['HTTP_X_FORWARDED_PROTO'] ?? '') === 'https') {",
    "  $_SERVER['HTTPS'] = 'on';",
    "}",
    ...SALTS.map((name) => define(name, createHmac("sha256", website.hashSalt).update(name).digest("base64"))),
    define("WP_TEMP_DIR", paths.temporary),
    "// Code is read-only: plugins, themes and updates come by git push.",
    define("DISALLOW_FILE_MODS", true),
    define("AUTOMATIC_UPDATER_DISABLED", true),
  ]);
}

/** One database, over TLS; the server's certificate is verified against the system's store, which holds the yard's authority. */
export function wordpressDatabase(database: DatabaseAccess): string {
  return phpFile(`WordPress: database ${database.name}.`, [
    define("DB_NAME", database.name),
    define("DB_USER", database.user),
    define("DB_PASSWORD", database.password),
    define("DB_HOST", `${database.host}:${database.port}`),
    define("DB_CHARSET", "utf8mb4"),
    define("DB_COLLATE", ""),
    define("MYSQL_CLIENT_FLAGS", new PhpCode("MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_VERIFY_SERVER_CERT")),
  ]);
}

/** The cluster's memcached servers for an object cache drop-in. */
export function wordpressMemcache({ website }: WebsiteFacts): string {
  return phpFile("WordPress: the cluster's memcached servers.", [
    `$memcached_servers = ${phpValue({ default: memcachedServers(website) })};`,
    define("WP_CACHE_KEY_SALT", `${website.id}_`),
  ]);
}

/** A repository may define a constant before it includes the snippet; that one stands. */
function define(name: string, value: PhpValue): string {
  return `defined('${name}') || define('${name}', ${phpValue(value)});`;
}
