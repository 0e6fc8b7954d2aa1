import { describe, expect, test } from "vitest";
import { run } from "#base/run.ts";
import { isolation, placesOf } from "./isolation.ts";

const OPTIONS = { uid: 19_999, network: "10.77.3.0/24", allowed: [] };

describe("a build's isolation", () => {
  test("is what nft understands, also with places of both kinds", async () => {
    const allowed = [
      { address: "192.168.7.3", port: 4873 },
      { address: "fd00::7", port: 443 },
    ];
    const rules = isolation({ ...OPTIONS, allowed });
    expect(rules).toContain("ip daddr 192.168.7.3 tcp dport 4873 accept");
    expect(rules).toContain("ip6 daddr fd00::7 tcp dport 443 accept");
    await run(["nft", "--check", "-f", "-"], { input: rules });
  });

  test.each(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10"])(
    "leaves %s to others",
    (network) => {
      expect(isolation(OPTIONS)).toMatch(new RegExp(`daddr \\{[^}]*${network.replaceAll(".", "\\.")}[^}]*\\} reject`));
    },
  );
});

test("the places that an npm configuration names are found, with their ports, and each once", async () => {
  const npmrc = [
    "registry=http://127.0.0.1:4873/npm/",
    "//127.0.0.1:4873/npm/:_authToken=secret",
    "@acme:registry=https://127.0.0.2/",
    'https-proxy="http://me:word@127.0.0.3:3128"',
    "proxy=http://127.0.0.4",
    "; registry=https://127.0.0.5/",
    "fund=false",
    "@gone:registry=https://no-such-host.invalid/",
  ].join("\n");
  expect((await placesOf(npmrc)).map(({ address, port }) => `${address}:${port}`)).toEqual([
    "127.0.0.1:4873",
    "127.0.0.2:443",
    "127.0.0.3:3128",
    "127.0.0.4:80",
  ]);
});
