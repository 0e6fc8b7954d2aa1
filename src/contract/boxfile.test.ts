import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Boxfile, type BoxfileResult, NO_HOOKS, readBoxfile } from "./boxfile.ts";
import { describeBoxfileProblem } from "./boxfile-syntax.ts";
import { treeOf } from "./repository-tree.ts";

const FILES = [
  "docroot/index.php",
  "docroot/.htaccess.production",
  "docroot/.htaccess.test",
  "docroot/sites/default/settings.production.php",
  "docroot/sites/default/settings.test.php",
];
const tree = treeOf([...FILES.map((path) => ({ mode: "100644", path })), { mode: "120000", path: "web" }]);
const read = (text: string | Uint8Array | null): BoxfileResult => readBoxfile(text, { label: "production", tree });
const accepted = (text: string): Boxfile => {
  const { boxfile, problems } = read(text);
  expect(problems.map(describeBoxfileProblem)).toEqual([]);
  if (boxfile === null) throw new Error("refused without a problem");
  return boxfile;
};

describe("a Boxfile is accepted", () => {
  const whole: Omit<Boxfile, "version"> = {
    sharedFolders: ["docroot/sites/default/files"],
    envSpecificFiles: [
      { path: "docroot/.htaccess", targets: { production: "docroot/.htaccess.production", test: "docroot/.htaccess.test" } },
      { path: "docroot/sites/default/settings.php", targets: { production: "docroot/sites/default/settings.production.php" } },
    ],
    docroot: "docroot",
    build: [],
    buildSeconds: null,
    hooks: NO_HOOKS,
    hookSeconds: null,
    snapshotsDatabases: false,
    holdSeconds: null,
  };

  test("in version 2.0, with paths from the repository root", () => {
    const text = `version: 2.0
shared_folders:                      # writable
  - ./docroot//sites/default/files/
env_specific_files:
  docroot/.htaccess:
    production: .htaccess.production
    test: .htaccess.test
  docroot/sites/default/settings.php:
    production: settings.production.php
`;
    expect(accepted(text)).toEqual({ version: "2.0", ...whole });
  });

  test("in version 1.0, with paths from the docroot", () => {
    const text = `version: 1.0
shared_folders: [sites/default/files]
env_specific_files:
  .htaccess: { production: .htaccess.production, test: .htaccess.test }
  sites/default/settings.php: { production: settings.production.php }
`;
    expect(accepted(text)).toEqual({ version: "1.0", ...whole });
  });

  test.each(["version: 2", "version: 2.0", 'version: "2.0"', "version: '2'", "\uFEFFversion: 2.0\r\n"])("as %j", (text) => {
    expect(accepted(text).version).toBe("2.0");
  });

  test("when the commit has none: nothing is shared", () => {
    expect(read(null).boxfile).toMatchObject({
      version: "2.0",
      sharedFolders: [],
      envSpecificFiles: [],
      docroot: "docroot",
      hooks: NO_HOOKS,
    });
  });

  test("in version 3, with hooks: one command or several", () => {
    const { version, hooks } = accepted(
      "version: 3\nhooks:\n  update: drush updatedb --yes\n  after:\n    - drush cache:rebuild\n    - 'echo 1'\n",
    );
    expect([version, hooks]).toEqual(["3", { update: ["drush updatedb --yes"], after: ["drush cache:rebuild", "echo 1"] }]);
    expect(accepted("version: 3\n").hooks).toEqual(NO_HOOKS);
  });

  test.each([
    ["version: 3\n", null],
    ["version: 3\ndeploy: rolling\n", null],
    ["version: 3\ndeploy: hold\n", 60],
    ["version: 3\ndeploy:\n  mode: hold\n  seconds: 20\n", 20],
    ["version: 3\ndeploy:\n  mode: rolling\n  seconds: 20\n", null],
  ])("in version 3, with how long visitors may wait: %j", (content, seconds) => {
    expect(accepted(content).holdSeconds).toBe(seconds);
  });

  test("in version 3, with commands that build the release", () => {
    expect(accepted("version: 3\nbuild: npm ci\n").build).toEqual(["npm ci"]);
    expect(accepted("version: 3\nbuild:\n  - npm ci\n  - npm run build\n").build).toEqual(["npm ci", "npm run build"]);
  });

  test("in version 3, with how long its build and its hooks may take", () => {
    const { build, buildSeconds, hooks, hookSeconds } = accepted(
      "version: 3\nbuild:\n  commands: [npm ci, npm run build]\n  seconds: 1800\nhooks:\n  after: a\n  seconds: 30\n",
    );
    expect([build, buildSeconds, hooks.after, hookSeconds]).toEqual([["npm ci", "npm run build"], 1_800, ["a"], 30]);
    expect(accepted("version: 3\nbuild: {commands: make}\n")).toMatchObject({ build: ["make"], buildSeconds: null, hookSeconds: null });
  });

  test("in version 3, with a snapshot of the databases", () => {
    expect(accepted("version: 3\nhooks:\n  snapshot: database\n  update: drush updatedb\n").snapshotsDatabases).toBe(true);
  });

  test("with a path that goes up and stays inside", () => {
    expect(accepted("version: 1.0\nshared_folders: [../var/files]\n").sharedFolders).toEqual(["var/files"]);
  });
});

describe("a Boxfile is refused with its line and what to do", () => {
  test.each([
    ["a tab", "version: 2.0\nshared_folders:\n\t- docroot/files\n", "3:1: a tab in the indentation → indent with spaces"],
    ["an unknown key", "version: 2.0\nshared_folder:\n  - a\n", "2:1: unknown key “shared_folder” → did you mean “shared_folders”?"],
    ["a far key", "version: 2.0\nmemory: 4\n", "2:1: unknown key “memory” → the keys are version, shared_folders, env_specific_files"],
    ["a text for a list", "version: 2.0\nshared_folders: docroot/files\n", "2:1: shared_folders must be a list of paths → write each"],
    ["a number for a path", "version: 2.0\nshared_folders:\n  - 42\n", "3:5: “42” is not text → if it is a path"],
    ["a mapping for a path", "version: 2.0\nshared_folders:\n  - a: b\n", "3:5: here must be one path"],
    ["a list for the files", "version: 2.0\nenv_specific_files: [a]\n", "2:1: env_specific_files must be a mapping"],
    ["a text for labels", "version: 2.0\nenv_specific_files:\n  a: b\n", "3:3: “a” must be a mapping of environment labels"],
    ["a path with ..", "version: 2.0\nshared_folders:\n  - docroot/../../etc\n", "3:5: “docroot/../../etc” leaves the repository"],
    ["an absolute path", "version: 2.0\nshared_folders:\n  - /etc\n", "3:5: “/etc” is an absolute path → write it without the first /"],
    ["an empty path", "version: 2.0\nshared_folders:\n  - ''\n", "3:5: the path is empty"],
    ["a list item without a path", "version: 2.0\nshared_folders:\n  -\n", "3:4: the path is empty"],
    ["the repository itself", "version: 2.0\nshared_folders:\n  - docroot/..\n", "3:5: “docroot/..” is the repository itself"],
    ["a path through .git", "version: 2.0\nshared_folders:\n  - a/.GIT/hooks\n", "3:5: “a/.GIT/hooks” goes through .git"],
    ["a NUL in a path", 'version: 2.0\nshared_folders:\n  - "a\\0b"\n', "3:5: “a�b” has a control character"],
    ["a platform's folder", "version: 2.0\nshared_folders:\n  - private/x\n", "3:5: “private/x” lies in private, which Boxyard provides"],
    ["no version", "shared_folders:\n  - docroot/files\n", "1:1: version is missing → add the line “version: 2.0”"],
    ["nothing", "", "1:1: version is missing"],
    ["a version to come", "version: 4\n", "1:10: unknown version “4” → use “version: 2.0” or “version: 3”"],
    ["a key of version 3", "version: 2.0\nhooks: []\n", "2:1: “hooks” belongs to version 3 → begin with “version: 3”"],
    ["a key of tomorrow", "version: 3\nworkers: 2\n", "2:1: “workers” is not supported yet → remove it"],
    [
      "a way to deploy that belongs to version 3",
      "version: 2.0\ndeploy: hold\n",
      "2:1: “deploy” belongs to version 3 → begin with “version: 3”",
    ],
    [
      "an unknown way to deploy",
      "version: 3\ndeploy: yolo\n",
      "2:9: unknown way to deploy “yolo” → write “deploy: rolling” or “deploy: hold”",
    ],
    ["a list of ways to deploy", "version: 3\ndeploy: [hold]\n", "2:9: unknown way to deploy “”"],
    ["a deploy without a mode", "version: 3\ndeploy: {seconds: 5}\n", "2:1: deploy has no mode → add “mode: hold” below it"],
    ["an unknown key of deploy", "version: 3\ndeploy: {mode: hold, wait: 5}\n", "2:22: unknown key “wait” → the keys are mode and seconds"],
    [
      "visitors who wait for long",
      "version: 3\ndeploy: {mode: hold, seconds: 61}\n",
      "2:31: seconds must be a whole number → write one from 1 to 60",
    ],
    ["visitors who wait for a fraction", "version: 3\ndeploy: {mode: hold, seconds: 0.5}\n", "2:31: seconds must be a whole number"],
    ["a snapshot of files", "version: 3\nhooks: {update: a, snapshot: files}\n", "2:30: only databases can be kept as they are"],
    [
      "a snapshot for nothing",
      "version: 3\nhooks: {after: a, snapshot: database}\n",
      "2:19: there is no update that a snapshot would undo",
    ],
    ["hooks without names", "version: 3\nhooks: [a]\n", "2:1: hooks must be a mapping"],
    [
      "an unknown hook",
      "version: 3\nhooks:\n  before: a\n",
      "3:3: unknown hook “before” → the hooks are update and after; beside them stand snapshot and seconds",
    ],
    ["a build without commands", "version: 3\nbuild: {seconds: 5}\n", "2:1: build has no commands → add “commands: <command>” below it"],
    [
      "an unknown key of build",
      "version: 3\nbuild: {commands: a, image: b}\n",
      "2:22: unknown key “image” → the keys are commands and seconds",
    ],
    [
      "a time that is none",
      "version: 3\nhooks: {after: a, seconds: long}\n",
      "2:28: seconds must be a whole number → write one from 1 to 21600",
    ],
    ["a mapping for a command", "version: 3\nhooks:\n  update: {a: b}\n", "3:11: here must be a command"],
    ["an empty command", "version: 3\nhooks:\n  update: ['']\n", "3:12: here must be a command"],
    ["too many commands", `version: 3\nhooks:\n  update: [${"a,".repeat(21)}]\n`, "3:3: update has 21 commands → name at most 20"],
    ["a novel for a command", `version: 3\nhooks:\n  update: ${"a".repeat(4_001)}\n`, "3:11: this command is too long"],
    ["an unknown version", "version: [2]\n", "1:10: unknown version"],
    ["a key that stands twice", "version: 2.0\nversion: 1.0\n", "2:1: “version” stands here twice, first in line 1"],
    ["a nested shared folder", "version: 2.0\nshared_folders:\n  - a\n  - a/b\n", "4:5: the shared folder “a/b” lies in “a”"],
    [
      "a repeated shared folder",
      "version: 2.0\nshared_folders:\n  - a\n  - ./a\n",
      "4:5: the shared folder “a” is declared already (line 3)",
    ],
    ["a shared file", "version: 2.0\nshared_folders:\n  - docroot/index.php\n", "3:5: the shared folder “docroot/index.php” is a file"],
    ["a path through a link", "version: 2.0\nshared_folders:\n  - web/files\n", "3:5: “web/files” leads through the link “web”"],
    ["an anchor", "version: 2.0\nshared_folders: &a [*a]\n", "2:20: anchors and aliases"],
    ["a tag", "version: !!str 2.0\n", "1:16: the tag"],
    ["two documents", "version: 2\n---\nversion: 1\n", "2:1: "],
    ["broken YAML", "version: 2.0\nshared_folders:\n  - a\n - b\n", "4:"],
    ["ten thousand brackets", "[".repeat(60_000), "1:"],
    ["too many bytes", "#".repeat(70_000), "1:1: the Boxfile has 70000 bytes → keep it below 65536 bytes"],
  ])("%s", (_what, text, expected) => {
    expect(read(text).problems.map(describeBoxfileProblem)[0]).toContain(`Boxfile:${expected}`);
    expect(read(text).boxfile).toBeNull();
  });

  test.each([
    ["build: {commands: a, seconds: 901}", "2:31: seconds must be a whole number → write one from 1 to 900"],
    ["hooks: {after: a, seconds: 61}", "2:28: seconds must be a whole number → write one from 1 to 60"],
  ])("a longer time than the operator allows: %s", (line, expected) => {
    const surroundings = { label: "production", tree, longest: { buildSeconds: 900, hookSeconds: 60 } };
    expect(readBoxfile(`version: 3\n${line}\n`, surroundings).problems.map(describeBoxfileProblem)[0]).toContain(`Boxfile:${expected}`);
  });

  const files = (lines: string) => `version: 2.0\nshared_folders: [docroot/files]\nenv_specific_files:\n${lines}`;
  test.each([
    [
      "a file that the commit lacks",
      "  docroot/s.php:\n    production: s.gone.php\n",
      "5:17: this commit has no file “docroot/s.gone.php”",
    ],
    [
      "a label without a file",
      "  docroot/s.php:\n    test: index.php\n",
      "4:3: “docroot/s.php” has no file for the environment “production”",
    ],
    ["a label that is none", "  docroot/s.php:\n    Production: index.php\n", "4:3: "],
    ["a link to itself", "  docroot/index.php:\n    production: index.php\n", "5:17: “docroot/index.php” would be a link to itself"],
    ["a file in a shared folder", "  docroot/files/x:\n    production: ../index.php\n", "4:3: “docroot/files/x” collides with the shared"],
    ["a link over a folder", "  docroot/sites:\n    production: index.php\n", "4:3: “docroot/sites” is a folder in this commit"],
  ])("%s", (_what, lines, expected) => {
    expect(read(files(lines)).problems.map(describeBoxfileProblem)[0]).toContain(`Boxfile:${expected}`);
  });

  test("bytes that are not UTF-8", () => {
    const bytes = new Uint8Array([...new TextEncoder().encode("version: 2.0\n# caf"), 0xe9, 10]);
    expect(read(bytes).problems).toEqual([expect.objectContaining({ line: 2, message: "this is not UTF-8" })]);
  });
});

describe("whatever the text", () => {
  const word = fc.oneof(
    fc.constantFrom("version", "2.0", "shared_folders", "env_specific_files", "production", "..", "/", "&a", "*a"),
    fc.string(),
  );
  const glue = fc.constantFrom(":", " ", "\n", "\n  ", "\n  - ", "[", "]", "{", "}", "\t", ": ", '"', "/", "#", "|", "? ");
  const soup = fc.array(fc.oneof(word, glue), { maxLength: 40 }).map((parts) => parts.join(""));

  test("reading never throws, and gives a Boxfile or problems", () => {
    fc.assert(
      fc.property(fc.oneof(soup, fc.string(), fc.string({ unit: "binary" })), (text) => {
        const { boxfile, problems } = read(text);
        expect(boxfile === null).toBe(problems.length > 0);
        for (const { line, column } of problems) expect(Math.min(line, column)).toBeGreaterThanOrEqual(1);
      }),
      { numRuns: 1_000 },
    );
  });

  test("bytes never make it throw", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void read(bytes)));
  });

  test("no accepted path leaves the repository", () => {
    const step = fc.oneof(fc.constantFrom("..", ".", "", "a", "b", "docroot", "..a", "...", "~", ".git"), fc.string({ maxLength: 5 }));
    const path = fc.array(step, { maxLength: 8 }).map((steps) => steps.join("/"));
    fc.assert(
      fc.property(path, fc.constantFrom("1.0", "2.0"), (written, version) => {
        const { boxfile } = read(`version: ${version}\nshared_folders:\n  - ${JSON.stringify(written)}\n`);
        for (const folder of boxfile?.sharedFolders ?? []) {
          expect(folder).not.toMatch(/^\//);
          expect(folder.split("/").filter((one) => ["", ".", "..", ".git"].includes(one))).toEqual([]);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
