import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { run } from "#base/run.ts";
import { goldenText } from "#harness/golden.ts";
import { OUTGOING, OUTGOING_DROP_IN, OUTGOING_RULES } from "./containment.ts";

test("nftables configuration is as its golden file and passes nft -c", async () => {
  await expect(goldenText([{ path: OUTGOING, content: OUTGOING_RULES }, OUTGOING_DROP_IN])).toMatchFileSnapshot("golden/outgoing");
  const folder = await mkdtemp(join(tmpdir(), "boxyard-nft-"));
  const path = join(folder, "outgoing.nft");
  await writeFile(path, OUTGOING_RULES);
  await run(["nft", "-c", "-f", path]).finally(() => rm(folder, { recursive: true, force: true }));
});
