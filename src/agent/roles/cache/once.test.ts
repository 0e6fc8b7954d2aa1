import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { askCache, type CacheReply, TestVarnish } from "#harness/varnish.ts";
import { renderVcl } from "./vcl.ts";

const [EDGE, CACHE, LONE_CACHE, PATIENT_CACHE] = ["127.56.0.1", "127.56.0.2", "127.56.0.3", "127.56.0.4"];
const BOXES = ["127.56.0.10", "127.56.0.11"];
/** What had been begun for so long is not begun again; in the field it is longer. */
const BEGUN_SECONDS = 4;

/** A box in bytes: it may do what no web server does. */
interface Box {
  readonly server: Server;
  readonly kept: Set<Socket>;
}

const varnish = new TestVarnish();
let boxes: Box[];
/** The requests that boxes began: which box, which method, and whether its connection had had another one before. */
let begun: { readonly box: number; readonly method: string; readonly kept: boolean }[] = [];
let answer: (socket: Socket, head: string) => unknown;

const OK = "HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-length: 2\r\n\r\nOK";
const ok = (socket: Socket) => socket.write(OK);
const breakOff = (socket: Socket) => socket.destroy();
const notReady = (socket: Socket) => socket.write("HTTP/1.1 503 Not Ready\r\ncontent-length: 0\r\n\r\n");

function startBox(box: number, address: string): Promise<Box> {
  const kept = new Set<Socket>();
  const server = createServer((socket) => {
    let received = "";
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      received += chunk;
      for (let end = received.indexOf("\r\n\r\n"); end >= 0; end = received.indexOf("\r\n\r\n")) {
        const head = received.slice(0, end).trimStart();
        received = received.slice(end + 4);
        if (head.includes("/boxyard-health")) socket.end(OK.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"));
        else {
          begun.push({ box, method: head.slice(0, head.indexOf(" ")), kept: kept.has(socket) });
          kept.add(socket);
          answer(socket, head);
        }
      }
    });
  });
  return new Promise((resolve) => server.listen(80, address, () => resolve({ server, kept })));
}

beforeAll(async () => {
  boxes = await Promise.all(BOXES.map((address, box) => startBox(box, address)));
  await varnish.begin(EDGE);
  const two = { cluster: "c1", edges: [EDGE], purgers: [], varnishMegabytes: 16, memcachedMegabytes: 16, boxes: BOXES.map(named) };
  const options = { holds: `${varnish.folder}/holds`, begunSeconds: BEGUN_SECONDS };
  await Promise.all([
    varnish.start(CACHE, renderVcl(two, options)),
    varnish.start(LONE_CACHE, renderVcl({ ...two, boxes: two.boxes.slice(0, 1) }, options)),
    varnish.start(PATIENT_CACHE, renderVcl(two, { holds: options.holds })),
  ]);
}, 180_000);
afterAll(async () => {
  await varnish.end();
  for (const { server } of boxes) server.close();
});
beforeEach(() => {
  begun = [];
  answer = ok;
});

function named(address: string, nth: number): { name: string; address: string } {
  return { name: `c1b${nth + 1}`, address };
}

let pages = 0;
const ask = (cache: string, method: string): Promise<CacheReply> => askCache({ from: EDGE, cache, method, path: `/page-${++pages}` });

const CHANGES = ["POST", "PUT", "PATCH", "DELETE", "PROPPATCH", "MOVE"];

describe("a request has a connection to a box of its own", () => {
  test.each(["GET", "HEAD", ...CHANGES])("when it is %s, whatever was asked before, and the box would keep them", async (method) => {
    for (let n = 0; n < 12; n++) expect((await ask(CACHE, n % 2 === 0 ? "GET" : method)).status).toBe(200);
    expect(begun).toHaveLength(12);
    expect(begun.filter(({ kept }) => kept)).toEqual([]);
  });

  test("so that what a website sends after the end of its answer is the answer to nobody", async () => {
    const forged = "HTTP/1.1 200 OK\r\ncache-control: max-age=600\r\ncontent-length: 6\r\n\r\nforged";
    answer = async (socket) => {
      socket.write(OK);
      await sleep(1_000);
      if (socket.writable) socket.write(forged);
    };
    // One cache, one box: each request comes upon the one before.
    for (let n = 0; n < 6; n++) expect(await ask(LONE_CACHE, "GET")).toMatchObject({ status: 200, body: "OK" });
    expect(begun.map(({ kept }) => kept)).toEqual(Array(6).fill(false));
  });
});

describe.each([
  { what: "breaks off", how: breakOff },
  { what: "answers 503", how: notReady },
])("a request that its box $what", ({ how }) => {
  test.each(CHANGES)("is not begun again when it is %s", async (method) => {
    answer = how;
    expect((await ask(CACHE, method)).status).toBe(503);
    expect(begun).toHaveLength(1);
  });

  test.each(["GET", "HEAD", "OPTIONS"])(
    "at once is begun on the other box when it is %s, and never on a third or again on the first",
    async (method) => {
      answer = how;
      expect((await ask(CACHE, method)).status).toBe(503);
      expect(begun.map(({ box }) => box).sort()).toEqual([0, 1]);
    },
  );

  test("only after a while is not begun again", async () => {
    answer = async (socket) => {
      await sleep(BEGUN_SECONDS * 1_000 + 300);
      how(socket);
    };
    expect((await ask(CACHE, "GET")).status).toBe(503);
    expect(begun).toHaveLength(1);
    // The same slow answer to a cache that counts as in the field.
    expect((await ask(PATIENT_CACHE, "GET")).status).toBe(503);
    expect(
      begun
        .slice(1)
        .map(({ box }) => box)
        .sort(),
    ).toEqual([0, 1]);
  });

  test("is not begun again where no other box is", async () => {
    answer = how;
    expect((await ask(LONE_CACHE, "GET")).status).toBe(503);
    expect(begun).toHaveLength(1);
  });
});

test("an upload that pauses arrives whole, and a connection may be idle in between", async () => {
  const socket = connect({ host: CACHE, port: 80, localAddress: EDGE }).setEncoding("utf8");
  const received = socket.toArray();
  socket.write("POST /a HTTP/1.1\r\nhost: a.example\r\ncontent-length: 4\r\n\r\nab");
  await sleep(6_000);
  socket.write("cd");
  await sleep(6_000);
  socket.write("GET /b HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n");
  expect((await received).join("").match(/HTTP\/1.1 200/g)).toHaveLength(2);
  expect(begun.map(({ method }) => method)).toEqual(["POST", "GET"]);
});
