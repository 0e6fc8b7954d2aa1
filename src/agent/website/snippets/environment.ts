import { Fault } from "#base/fault.ts";
import { CA_FILE, MARIADB, mainDomain, memcachedServers, type WebsiteFacts } from "./website-facts.ts";

/** The flat variables that every program of a website finds; the release is added where it is known. */
export function environmentOf({ website, cluster, paths }: WebsiteFacts): Record<string, string> {
  const [database, ...others] = website.databases;
  return {
    BOXYARD_SITE: website.id,
    BOXYARD_ENVIRONMENT: website.environment,
    BOXYARD_CLUSTER: cluster,
    BOXYARD_DOMAIN: mainDomain(website),
    ...(database === undefined ? {} : databaseVariables("DB", database)),
    ...Object.assign({}, ...others.map((other, index) => databaseVariables(`DB${index + 2}`, other))),
    ...(database === undefined ? {} : { DB_SSL_CA: CA_FILE, MYSQL_HOME: `${paths.config}/${MARIADB}` }),
    CACHE_HOSTS: memcachedServers(website).join(","),
    TMPDIR: paths.temporary,
  };
}

/** The same for `source` in a shell script. */
export function environmentScript(facts: WebsiteFacts): string {
  const lines = Object.entries(environmentOf(facts)).map(([name, value]) => `export ${name}='${value.replaceAll("'", "'\\''")}'`);
  return ["# The website's environment. Written by Boxyard.", ...lines, ""].join("\n");
}

/** For pam_env, whose files know neither quotes inside values nor lines: what it would misread is refused. */
export function environmentForPam(facts: WebsiteFacts): string {
  const lines = Object.entries(environmentOf(facts)).map(([name, value]) => {
    if (/['"\\#\n]/.test(value)) throw unusable(name);
    return `${name}=${value}`;
  });
  return `${lines.join("\n")}\n`;
}

/** For a PHP-FPM pool: single quotes, in which nothing means anything but the quote itself. */
export function environmentForPool(facts: WebsiteFacts): string[] {
  return Object.entries(environmentOf(facts)).map(([name, value]) => {
    // FPM takes a value that starts with $ from its own environment.
    if (/['\n\0]|^\$/.test(value)) throw unusable(name);
    return `env[${name}] = '${value}'`;
  });
}

function databaseVariables(
  prefix: string,
  { name, host, port, user, password }: WebsiteFacts["website"]["databases"][number],
): Record<string, string> {
  return {
    [`${prefix}_HOST`]: host,
    [`${prefix}_PORT`]: String(port),
    [`${prefix}_NAME`]: name,
    [`${prefix}_USER`]: user,
    [`${prefix}_PASSWORD`]: password,
  };
}

function unusable(name: string): Fault {
  return new Fault("website.unusable-variable", `the website's variable ${name} has a character that cannot be handed to its programs`);
}
