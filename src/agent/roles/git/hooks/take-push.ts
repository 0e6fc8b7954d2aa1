/** What Git's proc-receive hook runs, as the website's account: asks the agent for each ref and prints what it says. Starts fast: it imports nothing but Node's own. */
import { connect, type Socket } from "node:net";
import { FLUSH, PacketReader, packet } from "./pkt-line.ts";

const socketPath = process.env["BOXYARD_PUSH_SOCKET"] ?? "";
const AWAY = "the git server's agent does not answer: nothing changed, try again in a minute";
const GONE = "the git server's agent went away: what was accepted goes on, see boxyard deployment list";

const reader = new PacketReader(process.stdin);
await reader.readList();
process.stdout.write(packet("version=1\n") + FLUSH);
for (const command of await reader.readList()) {
  const [old = "", target = "", ...rest] = command.split(" ");
  const ref = rest.join(" ");
  const reason = await ask({ ref, old, new: target });
  process.stdout.write(packet(reason === null ? `ok ${ref}\n` : `ng ${ref} ${reason}\n`));
}
process.stdout.write(FLUSH);

/** Null when the agent has taken the ref, else why not. */
async function ask(request: { ref: string; old: string; new: string }): Promise<string | null> {
  let isHeard = false;
  try {
    for await (const line of linesOf(connect(socketPath), JSON.stringify(request))) {
      isHeard = true;
      const said = JSON.parse(line) as { line?: string; verdict?: string; reason?: string };
      if (said.line !== undefined) process.stderr.write(`${said.line}\n`);
      else return said.verdict === "ok" ? null : (said.reason ?? "refused");
    }
  } catch {
    // Whatever broke the connection, the answer below is what the pusher needs.
  }
  return isHeard ? GONE : AWAY;
}

async function* linesOf(socket: Socket, question: string): AsyncGenerator<string> {
  socket.setEncoding("utf8").write(`${question}\n`);
  let text = "";
  for await (const chunk of socket as AsyncIterable<string>) {
    const lines = `${text}${chunk}`.split("\n");
    text = lines.pop() ?? "";
    yield* lines;
  }
}
