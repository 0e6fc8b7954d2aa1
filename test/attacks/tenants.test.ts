// Takes over a minute: pushes, and a domain that changes hands while caches have its pages.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OUTGOING_TABLE } from "#agent/roles/box/containment.ts";
import { inServer, mustInServer } from "#harness/servers.ts";
import { createSite, removeSite, type Site } from "#harness/site.ts";
import { Visitor } from "#harness/visitor.ts";
import { eventually, listServers } from "#harness/yard.ts";

const DOMAINS = { owner: "owner.example.test", neighbour: "neighbour.example.test" };
const BOX = "c1b1";
/** Where a program counts who connects to it: a line of `HEARD` for each. */
const [OTHER_BOX, PORT, LISTENER, HEARD] = ["c1b2", 9123, "boxyard-listener", "/run/boxyard-heard"];
/** Lies where every account of the box can read it, and says as whom it runs. */
const PROGRAM = "/var/tmp/boxyard-tenant.php";
const WHO = "<?php header('Cache-Control: no-store'); echo 'runs as ', posix_geteuid(), ' of ', getenv('BOXYARD_SITE');";
/** Tries all that lists, empties or changes the cache which a box's websites share. */
const OPCODE = `<?php header('Cache-Control: no-store');
$got = [@opcache_get_status(), @opcache_get_configuration(), @opcache_reset(), @opcache_invalidate(__FILE__, true), @opcache_is_script_cached(__FILE__)];
echo array_filter($got) === [] ? 'all refused' : 'some allowed: ' . json_encode(array_map('boolval', $got)), apcu_enabled() || @apcu_store('k', 1) ? ', APCu' : ', no APCu';`;
/** Says of each path which ways of changing it have worked; where it may do anything, each of them makes room for the next. */
const forge = (paths: readonly string[]): string => `<?php header('Cache-Control: no-store');
foreach (${JSON.stringify(paths)} as $path) {
  $ways = ['written' => @file_put_contents($path, 'forged'), 'renamed' => @rename($path, "$path.gone"), 'linked' => @symlink('/etc', $path), 'removed' => @unlink($path)];
  echo rtrim("$path: " . implode(' ', array_keys(array_filter($ways)))), "\\n";
}`;
/** A website's own, to which its rewrites may lead. */
const OWN_PAGE = "/own.txt";
let owner: Site;
let neighbour: Site;
let neighboursUid: string;
let otherBox: string;

beforeAll(async () => {
  [owner, neighbour] = [await createSite(DOMAINS.owner), await createSite(DOMAINS.neighbour)];
  await neighbour.repository.write({ "docroot/index.php": WHO });
  await push(neighbour);
  neighboursUid = (await mustInServer(BOX, "id", "-u", neighbour.website.id)).trim();
  otherBox = (await listServers()).find(({ name }) => name === OTHER_BOX)?.address ?? "";
  await inServer(BOX, ["tee", PROGRAM], WHO);
});

afterAll(async () => {
  await mustInServer(BOX, "rm", "-f", PROGRAM);
  for (const site of [owner, neighbour]) await removeSite(site);
});

async function push({ repository, website }: Site): Promise<void> {
  await repository.commit("Files");
  const pushed = await repository.push(website.gitUrl);
  expect(pushed.exitCode, pushed.stderr).toBe(0);
}

/** What one box's web server answers to the owner's website: status line, headers and body. */
function ask(path: string): Promise<string> {
  return mustInServer(BOX, "curl", "-s", "-i", "--max-time", "10", "-H", `Host: ${DOMAINS.owner}`, `http://127.0.0.1${path}`);
}

async function listen(): Promise<void> {
  await mustInServer(OTHER_BOX, "sh", "-c", `: > ${HEARD}`);
  const told = [`TCP-LISTEN:${PORT},reuseaddr,fork`, `SYSTEM:echo heard >> ${HEARD}`];
  await mustInServer(OTHER_BOX, "systemd-run", "--quiet", "--collect", `--unit=${LISTENER}`, "--", "/usr/bin/socat", ...told);
  await eventually("the listener", async () => (await inServer(BOX, ["curl", "-s", `http://${otherBox}:${PORT}`])).exitCode !== 7);
}

/** How many connections the other server has had. It notes each before it ends it, and that is before Apache answers. */
async function heard(): Promise<number> {
  return (await mustInServer(OTHER_BOX, "cat", HEARD)).split("\n").length - 1;
}

/** The ways of a website's `.htaccess` to another website's PHP, by what they try. */
function waysToTheNeighbour(): Record<string, string> {
  const { id } = neighbour.website;
  const socket = `unix:/run/php/boxyard-${id}.sock|fcgi://${id}`;
  const rewrite = (to: string, flags: string): string => `RewriteEngine On\nRewriteRule ^x\\.phar$ ${to} [${flags}]\n`;
  const script = `ProxyFCGISetEnvIf true SCRIPT_FILENAME ${PROGRAM}\n`;
  const home = `/srv/sites/${id}/current/docroot/index.php`;
  return {
    "a handler": `SetHandler "proxy:${socket}"\n${script}`,
    "a handler by ending": `AddHandler "proxy:${socket}" .phar\n${script}`,
    "a type": `ForceType "proxy:${socket}"\n${script}`,
    "a type by ending": `AddType "proxy:${socket}" .phar\n${script}`,
    "a handler of a rewrite": `${rewrite("-", `H=proxy:${socket}`)}${script}`,
    "a proxied rewrite": rewrite(`${socket}${PROGRAM}`, "P"),
    "a proxied rewrite with a way up": rewrite(
      `${socket}/srv/sites/${owner.website.id}/releases/${"a".repeat(40)}/../../../../..${PROGRAM}`,
      "P",
    ),
    "the neighbour's own page": rewrite(`${socket}${home}`, "P"),
    "the neighbour's own page with a program before it": `${rewrite(`${socket}${home}`, "P")}SetEnv PHP_ADMIN_VALUE auto_prepend_file=${PROGRAM}\n`,
    "a translated path": `SetEnv PATH_TRANSLATED ${PROGRAM}\n${rewrite(`${socket}/`, "P")}`,
  };
}

describe("a website's .htaccess", () => {
  test("has no way to another website's PHP, while one to its own PHP is a way", async () => {
    const own = (await mustInServer(BOX, "id", "-u", owner.website.id)).trim();
    const socket = `unix:/run/php/boxyard-${owner.website.id}.sock|fcgi://${owner.website.id}`;
    await owner.repository.write({
      "docroot/own/.htaccess": `<FilesMatch "\\.phar$">\n  SetHandler "proxy:${socket}"\n</FilesMatch>\n`,
      "docroot/own/x.phar": WHO,
    });
    const ways = Object.entries(waysToTheNeighbour());
    for (const [index, [, content]] of ways.entries())
      await owner.repository.write({ [`docroot/way${index}/.htaccess`]: content, [`docroot/way${index}/x.phar`]: "text" });
    await push(owner);
    expect(await ask("/own/x.phar"), "a handler in .htaccess reaches its own PHP").toContain(`runs as ${own} of ${owner.website.id}`);
    for (const [index, [what]] of ways.entries()) {
      const answer = await ask(`/way${index}/x.phar`);
      expect(answer, what).not.toContain(`runs as ${neighboursUid}`);
      expect(answer, what).not.toContain("runs as");
    }
  });

  test("gives its own PHP no setting that the pool's owner alone may set", async () => {
    const variables = ["PHP_ADMIN_VALUE", "PHP_VALUE", "PHP-VALUE", "REDIRECT_PHP_VALUE", "HTTP_PHP_VALUE"];
    const ways = [
      ...variables.map((name) => `SetEnv ${name} "opcache.validate_permission=0"\n`),
      'SetEnvIf Request_URI .* "PHP_VALUE=opcache.validate_permission=0"\n',
      "RewriteEngine On\nRewriteRule ^ - [E=PHP_VALUE:opcache.validate_permission=0]\n",
    ];
    for (const [index, way] of ways.entries())
      await owner.repository.write({
        [`docroot/setting${index}/.htaccess`]: way,
        [`docroot/setting${index}/index.php`]: "<?php echo 'validates permission: ', ini_get('opcache.validate_permission');",
      });
    await push(owner);
    for (const [index, way] of ways.entries()) expect(await ask(`/setting${index}/index.php`), way).toContain("validates permission: 1");
  });

  test("opens the cache of compiled code to nobody, nor APCu, and no script takes the place of the agent's own", async () => {
    const script =
      (await mustInServer(BOX, "cat", "/etc/php/8.4/fpm/conf.d/99-boxyard.ini")).match(/^opcache.restrict_api = (.+)$/m)?.[1] ?? "";
    await mustInServer(BOX, "test", "-f", script);
    const own = `/srv/sites/${owner.website.id}/current/docroot/opcode/index.php`;
    const [up, beside] = [`${script}/${"../".repeat(8)}${own.slice(1)}`, `${script}.php`];
    const settings = `opcache.restrict_api =\napc.enabled = 1\n`;
    const rewrites = [up, beside, script].map((path, index) => `RewriteRule ^as${index}$ ${path} [L]\n`).join("");
    await owner.repository.write({
      "docroot/opcode/.user.ini": settings,
      "docroot/opcode/.htaccess": `SetEnv PHP_VALUE "${settings.replaceAll("\n", ";")}"\nSetEnv SCRIPT_FILENAME ${up}\nRewriteEngine On\n${rewrites}`,
      "docroot/opcode/index.php": OPCODE,
      [`docroot/opcode${script}`]: OPCODE,
    });
    await push(owner);
    for (const path of ["index.php", "as0", "as1", "as2", `index.php${script}`, script.slice(1)]) {
      const answer = await ask(`/opcode/${path}`);
      expect(answer, path).not.toContain("compiled=");
      if (answer.startsWith("HTTP/1.1 200")) expect(answer, path).toMatch(/all refused, no APCu\s*$/);
    }
    expect(await ask("/opcode/index.php")).toMatch(/all refused, no APCu\s*$/);
  });

  test("makes Apache begin no connection to another server, where it would without its rules", async () => {
    const ways = {
      rewrite: `RewriteRule ^rewrite$ fcgi://${otherBox}:${PORT}/x [P]\n`,
      name: `RewriteRule ^name$ fcgi://${OTHER_BOX}:${PORT}/x [P]\n`,
      handler: `<Files handler>\n  SetHandler "proxy:fcgi://${otherBox}:${PORT}"\n</Files>\n`,
    };
    const http = `RewriteRule ^http$ http://${otherBox}/boxyard-health [P]\n`;
    await owner.repository.write({
      "docroot/out/.htaccess": `RewriteEngine On\n${Object.values(ways).join("")}${http}`,
      "docroot/out/handler": "text",
    });
    await push(owner);
    const reached = async (): Promise<string[]> => {
      const found: string[] = [];
      for (const way of Object.keys(ways)) {
        const before = await heard();
        expect(await ask(`/out/${way}`), way).toMatch(/^HTTP\/1\.1 50[023]/);
        if ((await heard()) > before) found.push(way);
      }
      return found;
    };
    try {
      await listen();
      expect(await reached()).toEqual([]);
      // The agent would load them again.
      await mustInServer(BOX, "systemctl", "stop", "boxyard-agent");
      await mustInServer(BOX, "nft", "delete", "table", "inet", OUTGOING_TABLE.table);
      expect(await reached(), "without the rules").toEqual(Object.keys(ways));
      await mustInServer(BOX, "systemctl", "start", "boxyard-agent");
      await eventually("the agent to load the rules again", async () => (await reached()).length === 0, 60_000);
    } finally {
      await mustInServer(BOX, "systemctl", "start", "boxyard-agent");
      await inServer(OTHER_BOX, ["systemctl", "stop", LISTENER]);
      await inServer(OTHER_BOX, ["rm", "-f", HEARD]);
    }
    // This it could not do without the rules either: Apache has no module for it.
    expect(await ask("/out/http")).toMatch(/^HTTP\/1\.1 500/);
  });

  test("reads no file in an expression", async () => {
    const file = `/srv/sites/${neighbour.website.id}/config/environment`;
    const ways = [
      `Header always set X-Stolen "expr=%{file:${file}}"\n`,
      `RewriteEngine On\nRewriteCond expr "file('${file}') =~ m#(.+)#"\nRewriteRule ^ https://stolen.example/%1 [R]\n`,
      `ErrorDocument 404 "%{file:${file}}"\n`,
    ];
    for (const [index, content] of ways.entries()) await owner.repository.write({ [`docroot/read${index}/.htaccess`]: content });
    await owner.repository.write({ "docroot/said/.htaccess": 'Header always set X-Said "expr=it said %{REQUEST_URI}"\n' });
    await push(owner);
    expect(await mustInServer(BOX, "cat", file), "there is something to read").toContain("DB_PASSWORD");
    expect(await ask("/said/x.txt"), "an expression without it works").toContain("it said /said/x.txt");
    for (const index of ways.keys()) expect(await ask(`/read${index}/x.txt`)).not.toContain("DB_PASSWORD");
  });

  test("makes its box neither ready nor unready, and shows nothing of that", async () => {
    const [file, address] = ["/run/boxyard/box-health", "http://127.0.0.1/boxyard-health"];
    const kept = [file, `${file}.new`, "/run/boxyard/box-ready", "/run/boxyard/x"];
    const own = `/srv/sites/${owner.website.id}/tmp/x`;
    const ways = [
      `RewriteRule ^own$ ${OWN_PAGE} [L]\nRewriteRule ^ /run/boxyard/box-health [L]`,
      `RewriteRule ^own$ ${OWN_PAGE} [L]\nRewriteRule ^ /boxyard-health [L]`,
      `ErrorDocument 403 ${OWN_PAGE}\nRewriteRule ^own$ - [F]\nErrorDocument 404 /run/boxyard/box-health`,
    ];
    for (const [index, way] of ways.entries())
      await owner.repository.write({ [`docroot/health${index}/.htaccess`]: `RewriteEngine On\n${way}\n` });
    await owner.repository.write({ "docroot/forge.php": forge([...kept, own]), [`docroot${OWN_PAGE}`]: "its own page" });
    await push(owner);
    const forged = (await ask("/forge.php"))
      .trimEnd()
      .split("\n")
      .slice(-kept.length - 1);
    expect(forged).toEqual([...kept.map((path) => `${path}:`), `${own}: written renamed linked removed`]);
    for (const [index, way] of ways.entries()) {
      expect(await ask(`/health${index}/own`), way).toMatch(/^its own page$/m);
      expect(await ask(`/health${index}/x`), way).not.toMatch(/^ready$/m);
    }
    expect(await ask("/boxyard-health")).toMatch(/^HTTP\/1\.1 404/);
    expect(await mustInServer(BOX, "curl", "-s", address)).toBe("ready");
    expect((await mustInServer(BOX, "ls", "/run/boxyard")).split("\n")).toEqual(["box-health", "box-ready", "holds"]);
  });

  test("does all that Drupal's and WordPress's own files ask for", async () => {
    await owner.repository.write({
      Boxfile: "version: 2.0\nshared_folders:\n  - docroot/files\n",
      "docroot/drupal/.htaccess": DRUPAL,
      "docroot/drupal/index.php": "<?php echo 'front controller ', $_SERVER['REQUEST_URI'], ' ', $_SERVER['HTTP_AUTHORIZATION'] ?? '';",
      "docroot/drupal/settings.inc": "secret",
      "docroot/drupal/style.css": "p {}",
      "docroot/drupal/picture.svgz": "x",
      "docroot/wordpress/.htaccess": WORDPRESS,
      "docroot/wordpress/index.php": "<?php echo 'WordPress answers ', $_SERVER['REQUEST_URI'];",
    });
    await push(owner);
    const files = `/srv/sites/${owner.website.id}/current/docroot/files`;
    await inServer(BOX, ["tee", `${files}/uploaded.php`], "<?php echo 'it ', 'runs';");
    expect(await ask("/files/uploaded.php"), "before Drupal's file is there").toContain("it runs");
    await inServer(BOX, ["tee", `${files}/.htaccess`], DRUPAL_FILES);
    expect(await ask("/drupal/node/1?page=2")).toContain("front controller /drupal/node/1?page=2");
    expect(await ask("/drupal/settings.inc")).toMatch(/^HTTP\/1\.1 403/);
    expect(await ask("/drupal/vendor/evil.php")).toMatch(/^HTTP\/1\.1 403/);
    expect(await ask("/drupal/style.css")).toMatch(/cache-control: max-age=1209600/i);
    expect(await ask("/drupal/style.css")).toMatch(/x-content-type-options: nosniff/i);
    expect(await ask("/drupal/picture.svgz")).toMatch(/content-type: image\/svg\+xml/i);
    expect(await ask("/drupal/picture.svgz")).toMatch(/content-encoding: (?:x-)?gzip/i);
    expect(await ask("/wordpress/hello-world/")).toContain("WordPress answers /wordpress/hello-world/");
    expect(await ask("/files/uploaded.php")).not.toContain("it runs");
  });
});

/** Of Drupal's own file what the web server has to understand. */
const DRUPAL = `<FilesMatch "\\.(engine|inc|install|module|profile|po|sh|.*sql|theme|twig|tpl(\\.php)?|xtmpl|yml)(~|\\.sw[op]|\\.bak|\\.orig|\\.save)?$">
  <IfModule mod_authz_core.c>
    Require all denied
  </IfModule>
  <IfModule !mod_authz_core.c>
    Order allow,deny
  </IfModule>
</FilesMatch>
Options -Indexes
DirectoryIndex index.php index.html index.htm
AddType image/svg+xml svg svgz
AddEncoding gzip svgz
<IfModule mod_php.c>
  php_value assert.active 0
</IfModule>
<IfModule mod_expires.c>
  ExpiresActive On
  ExpiresDefault A1209600
  <FilesMatch \\.php$>
    ExpiresActive Off
  </FilesMatch>
</IfModule>
<IfModule mod_fastcgi.c>
</IfModule>
<IfModule mod_rewrite.c>
  RewriteEngine on
  RewriteRule ^ - [E=protossl]
  RewriteCond %{HTTPS} on
  RewriteRule ^ - [E=protossl:s]
  RewriteRule ^ - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]
  RewriteRule "/\\.|^\\.(?!well-known/)" - [F]
  RewriteCond %{REQUEST_FILENAME} !-f
  RewriteCond %{REQUEST_FILENAME} !-d
  RewriteCond %{REQUEST_URI} !=/favicon.ico
  RewriteCond %{REQUEST_URI} !^/drupal/vendor/
  RewriteRule ^ index.php [L]
  RewriteCond %{REQUEST_URI} !/core/[^/]*\\.php$
  RewriteRule "^(.+/.*|autoload)\\.php($|/)" - [F]
</IfModule>
<IfModule mod_headers.c>
  Header always set X-Content-Type-Options nosniff
  RequestHeader unset Proxy early
</IfModule>
`;

const DRUPAL_FILES = `<IfModule mod_authz_core.c>
  <FilesMatch "\\.htaccess$">
    Require all denied
  </FilesMatch>
</IfModule>
Options None
Options +FollowSymLinks
SetHandler Drupal_Security_Do_Not_Remove_See_SA_2006_006
<Files *>
  SetHandler Drupal_Security_Do_Not_Remove_See_SA_2013_003
</Files>
<IfModule mod_php.c>
  php_flag engine off
</IfModule>
`;

const WORDPRESS = `# BEGIN WordPress
<IfModule mod_rewrite.c>
RewriteEngine On
RewriteRule .* - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]
RewriteBase /wordpress/
RewriteRule ^index\\.php$ - [L]
RewriteCond %{REQUEST_FILENAME} !-f
RewriteCond %{REQUEST_FILENAME} !-d
RewriteRule . /wordpress/index.php [L]
</IfModule>
# END WordPress
`;

test("a domain that another website gets shows none of the former one's pages, which the caches still have", async () => {
  const domain = "handed-on.example.test";
  const storedPage = (text: string) => ({ "docroot/index.php": `<?php header('Cache-Control: public, max-age=3600'); echo '${text}';` });
  const visit = async () => {
    const { headers, text } = await new Visitor(domain).get("/?stored");
    return [text, headers["x-cache"]];
  };
  const former = await createSite(domain);
  try {
    await former.repository.write(storedPage("former"));
    await push(former);
    await visit();
    expect(await visit()).toEqual(["former", "HIT"]);
  } finally {
    await removeSite(former);
  }
  const next = await createSite(domain);
  try {
    await next.repository.write(storedPage("next"));
    await push(next);
    expect(await visit()).toEqual(["next", "MISS"]);
    expect(await visit()).toEqual(["next", "HIT"]);
  } finally {
    await removeSite(next);
  }
});
