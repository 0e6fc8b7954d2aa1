import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FLUSH, PacketReader, packet } from "./pkt-line.ts";

const PROGRAM = join(import.meta.dirname, "take-push.ts");
const [OLD, NEW] = ["0".repeat(40), "a".repeat(40)];
const [MAIN, TAG] = [`${OLD} ${NEW} refs/heads/main`, `${OLD} ${NEW} refs/tags/v1`];
const GONE = "the git server's agent went away: what was accepted goes on, see boxyard deployment list";

let scratch: string;
let agent: Server;
let asked: unknown[];
/** What the agent says to each ref in turn: lines, after which it closes the connection. */
let answers: object[][];

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "boxyard-take-push-"));
  [asked, answers] = [[], []];
  agent = createServer((socket: Socket) => {
    socket.once("data", (question) => {
      asked.push(JSON.parse(String(question)));
      socket.end((answers.shift() ?? []).map((line) => `${JSON.stringify(line)}\n`).join(""));
    });
  });
  agent.listen(join(scratch, "push.sock"));
  await once(agent, "listening");
});

afterEach(async () => {
  agent.close();
  await rm(scratch, { recursive: true });
});

/** Runs it as git does; gives the lists of packets that git reads, and what the pusher reads. */
async function takePush(commands: readonly string[], socket = "push.sock") {
  const input = [["version=1\0push-options"], commands].map((list) => list.map((line) => packet(`${line}\n`)).join("") + FLUSH).join("");
  const env = { BOXYARD_PUSH_SOCKET: join(scratch, socket) };
  const { stdout, stderr } = await execa(process.execPath, [PROGRAM], { input, env, encoding: "buffer", stripFinalNewline: false });
  const reader = new PacketReader(pieces(Buffer.from(stdout)));
  const [version, results] = [await reader.readList(), await reader.readList()];
  return { version, results, shown: Buffer.from(stderr).toString() };
}

async function* pieces(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

test("the agent is asked for each ref in turn; its lines are the pusher's, its verdict is git's", async () => {
  answers = [[{ line: "staged on 2 boxes" }, { line: "live" }, { verdict: "ok" }], [{ verdict: "refused", reason: "too large" }]];
  expect(await takePush([MAIN, TAG])).toEqual({
    version: ["version=1"],
    results: ["ok refs/heads/main", "ng refs/tags/v1 too large"],
    shown: "staged on 2 boxes\nlive\n",
  });
  expect(asked).toEqual([
    { ref: "refs/heads/main", old: OLD, new: NEW },
    { ref: "refs/tags/v1", old: OLD, new: NEW },
  ]);
});

test("a verdict without a reason refuses all the same", async () => {
  answers = [[{ verdict: "no" }]];
  expect((await takePush([MAIN])).results).toEqual(["ng refs/heads/main refused"]);
});

test("a pusher reads whether the agent went away before it had said anything, or after", async () => {
  const away = ["ng refs/heads/main the git server's agent does not answer: nothing changed, try again in a minute"];
  expect((await takePush([MAIN], "nobody.sock")).results).toEqual(away);
  answers = [[], [{ line: "staged on 2 boxes" }]];
  expect((await takePush([MAIN])).results).toEqual(away);
  expect((await takePush([MAIN])).results).toEqual([`ng refs/heads/main ${GONE}`]);
});
