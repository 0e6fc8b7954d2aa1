import { configuration } from "../../converge/configuration.ts";
import type { Resource } from "../../converge/resource.ts";
import { DRUPAL_VERSIONS, drupalDatabase, drupalMemcache, drupalSite } from "./drupal.ts";
import { environmentScript } from "./environment.ts";
import { mariadbOptions } from "./mariadb.ts";
import { MARIADB, type WebsiteFacts } from "./website-facts.ts";
import { wordpressDatabase, wordpressMemcache, wordpressSite } from "./wordpress.ts";

/** Every file of a website's config directory; `…-db1.php` is its first database whatever that is called, so that a staging copy needs no other line. */
export function snippetFiles(facts: WebsiteFacts): Record<string, string> {
  const { databases } = facts.website;
  const options = databases.length === 0 ? {} : { [`${MARIADB}/my.cnf`]: mariadbOptions(databases) };
  return { ...drupalFiles(facts), ...wordpressFiles(facts), ...options, environment: environmentScript(facts) };
}

/** The config directory as it should be; the website reads it, and nobody but root writes it. */
export function snippets(facts: WebsiteFacts): Resource {
  const { website, paths } = facts;
  const ownership = { mode: 0o640, group: website.id };
  return configuration({
    id: `snippets of ${website.id}`,
    files: Object.entries(snippetFiles(facts)).map(([path, content]) => ({ path: `${paths.config}/${path}`, content, ...ownership })),
    owns: ["drupal", "wordpress", MARIADB].map((name) => ({ directory: `${paths.config}/${name}`, pattern: /\.(php|cnf)$/ })),
    check: null,
    activate: [],
  });
}

function drupalFiles(facts: WebsiteFacts): Record<string, string> {
  const { databases, memcached } = facts.website;
  return Object.fromEntries(
    DRUPAL_VERSIONS.flatMap((version) => {
      const name = `drupal/settings-d${version}`;
      return [
        [`${name}-site.php`, drupalSite(version, facts)],
        ...databases.map((database, index) => [`${name}-db${index + 1}.php`, drupalDatabase(version, database)]),
        ...(memcached.length === 0 ? [] : [[`${name}-memcache.php`, drupalMemcache(version, facts)]]),
      ];
    }),
  );
}

function wordpressFiles(facts: WebsiteFacts): Record<string, string> {
  const { databases, memcached } = facts.website;
  const name = "wordpress/wp-config";
  return Object.fromEntries([
    [`${name}-site.php`, wordpressSite(facts)],
    ...databases.map((database, index) => [`${name}-db${index + 1}.php`, wordpressDatabase(database)]),
    ...(memcached.length === 0 ? [] : [[`${name}-memcache.php`, wordpressMemcache(facts)]]),
  ]);
}
