import { describe, expect, test } from "vitest";
import { masking, secretsOfNpmrc } from "./secrets-in-output.ts";

describe("of what a command says", () => {
  const mask = masking(["pa/ss&word'7", "longer-pa/ss&word'7-still", "abc"]);

  test.each([
    ["a secret as it is", "connecting with pa/ss&word'7 now", "connecting with *** now"],
    ["one that another begins with", "longer-pa/ss&word'7-still", "***"],
    ["one as an address has it", `mysql://x/?p=${encodeURIComponent("pa/ss&word'7")}`, "mysql://x/?p=***"],
    ["one as Basic authentication has it", `Basic ${Buffer.from("pa/ss&word'7").toString("base64")}`, "Basic ***"],
    ["a password in an address, whosever it is", "cloning https://me:hunter2@example.org/x.git", "cloning https://***@example.org/x.git"],
  ])("%s does not leave the server", (_what, line, expected) => {
    expect(mask(line)).toBe(expected);
  });

  test("all else stays, also what is too short to be a secret", () => {
    expect(mask("abc of 12 files at me@example.org")).toBe("abc of 12 files at me@example.org");
  });
});

test("an npm configuration's tokens and passwords are found, and its addresses' own", () => {
  const npmrc = [
    "registry=https://registry.example.org/",
    "//registry.example.org/:_authToken=npm_0123456789",
    `//other.example.org/:_password="${Buffer.from("deep secret").toString("base64")}"`,
    "https-proxy=http://me:pass%20word@proxy.example.org:3128/",
    "; //gone.example.org/:_authToken=comment",
  ].join("\n");
  const secrets = secretsOfNpmrc(npmrc);
  expect(secrets).toEqual(expect.arrayContaining(["npm_0123456789", "deep secret", "pass%20word", "pass word"]));
  expect(secrets.join(" ")).not.toMatch(/registry\.example|comment/);
});
