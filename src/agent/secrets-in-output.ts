const MASK = "***";
/** Shorter ones would be found everywhere. */
const SHORTEST = 6;

/**
 * Takes secrets out of what commands say before it leaves the server: these values, as they are and as addresses and
 * Basic authentication have them, and every password in an address.
 */
export function masking(secrets: readonly string[]): (line: string) => string {
  const values = secrets
    .filter((secret) => secret.length >= SHORTEST)
    .flatMap((secret) => [secret, encodeURIComponent(secret), base64(secret)]);
  // The longest first: one secret may begin with another.
  const sorted = [...new Set(values)].sort((a, b) => b.length - a.length);
  return (line) => sorted.reduce((masked, value) => masked.replaceAll(value, MASK), withoutCredentials(line));
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function withoutCredentials(line: string): string {
  return line.replaceAll(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@]+@/gi, `$1${MASK}@`);
}

/** The values of an npm configuration that give access: tokens, passwords, and those in the addresses of proxies. */
export function secretsOfNpmrc(npmrc: string): string[] {
  return npmrc.split("\n").flatMap((line) => {
    const [, name = "", value = ""] = /^\s*([^=;#]+?)\s*=\s*"?(.*?)"?\s*$/.exec(line) ?? [];
    const inAddress = /^[a-z]+:\/\/([^\s/@]+)@/i.exec(value)?.[1] ?? "";
    const parts = [inAddress, ...inAddress.split(":").slice(1)].flatMap((part) => [part, decoded(part)]);
    if (!/(?:_authToken|_auth|_password)$/i.test(name)) return parts.filter((part) => part !== "");
    return [value, Buffer.from(value, "base64").toString("utf8")];
  });
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
