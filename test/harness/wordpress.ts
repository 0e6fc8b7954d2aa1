import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import type { Repository } from "./repository.ts";

const BOXFILE = `version: 2.0
shared_folders:
  - docroot/wp-content/uploads
env_specific_files:
  docroot/wp-config.php:
    production: wp-config.production.php
    test: wp-config.test.php
`;

const WP_CONFIG = (environment: string): string => `<?php
require __DIR__ . '/../config/wordpress/wp-config-site.php';
require __DIR__ . '/../config/wordpress/wp-config-db1.php';
define('WP_ENVIRONMENT_TYPE', '${environment === "production" ? "production" : "staging"}');
define('DISABLE_WP_CRON', true);
define('WP_HTTP_BLOCK_EXTERNAL', true);
$table_prefix = 'wp_';
if (!defined('ABSPATH')) define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
`;

/** A page that says which box and release made it, and is never cached. */
const WHO = `<?php
header('Cache-Control: no-store');
header('Content-Type: application/json');
echo json_encode(['box' => gethostname(), 'release' => $_SERVER['BOXYARD_RELEASE'] ?? null, 'directory' => __DIR__]);
`;

/** Fills the working copy with WordPress: Debian's files below docroot/, links followed, and a Boxfile. */
export async function addWordpress(repository: Repository): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "boxyard-wordpress-"));
  try {
    await execa("apt-get", ["-qq", "update"], { reject: false });
    await execa("chmod", ["755", scratch]);
    await execa("apt-get", ["-qq", "download", "wordpress", ...(await partsOfWordpress())], { cwd: scratch });
    const root = join(scratch, "root");
    await mkdir(root);
    for (const file of await readdir(scratch)) if (file.endsWith(".deb")) await execa("dpkg-deb", ["-x", join(scratch, file), root]);
    await assemble(root, join(repository.directory, "docroot"));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  await repository.write({
    Boxfile: BOXFILE,
    "docroot/wp-config.production.php": WP_CONFIG("production"),
    "docroot/wp-config.test.php": WP_CONFIG("test"),
    "docroot/who.php": WHO,
    "docroot/.htaccess":
      "RewriteEngine On\nRewriteBase /\nRewriteRule ^index\\.php$ - [L]\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteCond %{REQUEST_FILENAME} !-d\nRewriteRule . /index.php [L]\n",
  });
}

/** The packages that Debian's WordPress links into, and the theme of its year; each Debian release has others. */
async function partsOfWordpress(): Promise<string[]> {
  const { stdout } = await execa("apt-cache", ["depends", "wordpress"]);
  return [...new Set(stdout.match(/\b(?:wordpress-theme-[a-z]+|libjs-[a-z]+|php-getid3)\b/g) ?? [])];
}

async function assemble(root: string, docroot: string): Promise<void> {
  // Debian's own wp-config.php and .htaccess point at /etc/wordpress of the machine; ours take their place.
  await rm(join(root, "usr/share/wordpress/.htaccess"), { force: true });
  await rm(join(root, "usr/share/wordpress/wp-config.php"), { force: true });
  await rm(join(root, "usr/share/wordpress/wp-includes/certificates/ca-bundle.crt"), { force: true });
  await cp(join(root, "usr/share/wordpress"), docroot, { recursive: true, dereference: true });
  await mkdir(join(docroot, "wp-content/uploads"), { recursive: true });
  await writeFile(join(docroot, "wp-content/uploads/.keep"), "");
}
