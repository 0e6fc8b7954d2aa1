import { expect, test } from "vitest";
import { serverRecipe } from "./recipe.ts";
import { inOrder, packageSources, parseMirrors } from "./sources.ts";

const DEBIAN_SOURCES = `Types: deb
# http://snapshot.example/archive/debian/20250520T000000Z
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
`;

test("an image is made of a release, its updates and its security updates", () => {
  const sources = packageSources(serverRecipe, {
    main: "http://mirror.example/debian",
    security: "http://security.example/debian-security",
  });
  expect(sources).toEqual([
    "deb http://mirror.example/debian trixie main",
    "deb http://mirror.example/debian trixie-updates main",
    "deb http://security.example/debian-security trixie-security main",
  ]);
});

test("both archives are those that the machine itself uses, in either format", () => {
  const debian = { main: "http://deb.debian.org/debian", security: "http://deb.debian.org/debian-security" };
  expect(parseMirrors([DEBIAN_SOURCES])).toEqual(debian);
  const lines = [
    "# deb http://old.example/debian bookworm main",
    "deb [signed-by=/usr/share/keyrings/a.gpg] https://mirror.example/debian/ bookworm main",
    "deb https://security.example/debian-security bookworm-security main",
  ];
  expect(parseMirrors(["", lines.join("\n")])).toEqual({
    main: "https://mirror.example/debian",
    security: "https://security.example/debian-security",
  });
  expect(parseMirrors(["URIs: http://one.example/other http://two.example/debian/\nSuites: bookworm\n"]).main).toBe(
    "http://two.example/debian",
  );
});

test("a vendor's archive that is called debian, too, is not taken for Debian's", () => {
  expect(inOrder(["docker.list", "zabbix.sources"]).slice(0, 2)).toEqual(["sources.list.d/debian.sources", "sources.list"]);
  expect(inOrder(["debian.sources", "docker.list"])).toEqual([
    "sources.list.d/debian.sources",
    "sources.list",
    "sources.list.d/docker.list",
  ]);
  const docker = "deb https://download.docker.example/linux/debian bookworm stable\n";
  expect(parseMirrors(["", "deb http://mirror.example/debian bookworm main\n", docker]).main).toBe("http://mirror.example/debian");
});

test("security updates are looked for beside the releases, or at Debian, where the machine names none", () => {
  expect(parseMirrors(["deb http://mirror.example/debian bookworm main\n"]).security).toBe("http://mirror.example/debian-security");
  expect(parseMirrors(["deb http://mirror.example/ubuntu noble main\n"])).toEqual({
    main: "http://deb.debian.org/debian",
    security: "http://deb.debian.org/debian-security",
  });
});
