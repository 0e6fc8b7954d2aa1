import { readFile } from "node:fs/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { Fault } from "#base/fault.ts";
import { settingRoutes } from "#contract/api/settings.ts";
import type { PackageSources, WorkLimits } from "#contract/work-settings.ts";
import { declare, group, wholeNumber } from "../command.ts";
import { renderFacts } from "../render/table.ts";

/** `boxyard limits …` and `boxyard packages …`: what an operator decides about builds, hooks and releases, for the whole yard. */
export function settingsCommands(): Command[] {
  return [
    group("limits", "What builds, hooks and releases of all websites may take", [showLimits(), setLimits()]),
    group("packages", "How builds reach the places that packages come from", [showPackages(), setPackages()]),
  ];
}

function showLimits(): Command {
  return declare<[], object, WorkLimits>({
    usage: "show",
    summary: "What builds, hooks and releases may take",
    examples: ["limits show"],
    run: ({ client }) => client.call(settingRoutes.showLimits),
    render: renderLimits,
  });
}

function setLimits(): Command {
  return declare<[], Partial<WorkLimits>, WorkLimits>({
    usage: "set",
    summary: "Change what builds, hooks and releases may take, for those that begin from now on; what is not named stays",
    examples: [
      "limits set --build-seconds 7200 --build-memory-megabytes 4096",
      "limits set --hook-seconds 1800",
      "limits set --release-megabytes 4096",
    ],
    options: (command) =>
      command
        .addOption(new Option("--build-seconds <n>", "the longest time that a Boxfile may ask for its build").argParser(wholeNumber))
        .addOption(new Option("--build-memory-megabytes <n>", "of one build").argParser(wholeNumber))
        .addOption(new Option("--build-processors <n>", "of one build, for example 1.5").argParser(processors))
        .addOption(new Option("--build-processes <n>", "of one build").argParser(wholeNumber))
        .addOption(new Option("--hook-seconds <n>", "the longest time that a Boxfile may ask for its hooks").argParser(wholeNumber))
        .addOption(new Option("--release-megabytes <n>", "what a release may take on a disk").argParser(wholeNumber)),
    run: ({ client, options }) => {
      const { buildSeconds, buildMemoryMegabytes, buildProcessors, buildProcesses, hookSeconds, releaseMegabytes } = options;
      const input = { buildSeconds, buildMemoryMegabytes, buildProcessors, buildProcesses, hookSeconds, releaseMegabytes };
      return client.call(settingRoutes.setLimits, { input });
    },
    render: renderLimits,
  });
}

function showPackages(): Command {
  return declare<[], object, PackageSources>({
    usage: "show",
    summary: "npm's configuration and the authorities that builds trust beside those that everybody does",
    examples: ["packages show"],
    run: ({ client }) => client.call(settingRoutes.showPackageSources),
    render: renderPackages,
  });
}

function setPackages(): Command {
  return declare<[], { npmrc?: string; authorities?: string }, PackageSources>({
    usage: "set",
    summary: "Change it, for builds that begin from now on; every build can read it, so no secrets of yours belong there",
    examples: ["packages set --npmrc npmrc", "packages set --authorities proxy-ca.pem", "packages set --npmrc /dev/null"],
    options: (command) =>
      command
        .option("--npmrc <file>", "npm's configuration (npmrc), for example another registry or a proxy; an empty file: none")
        .option("--authorities <file>", "certificates (PEM) of authorities; an empty file: none"),
    run: async ({ client, options: { npmrc, authorities } }) => {
      const input = { npmrc: await contentOf(npmrc), authorities: await contentOf(authorities) };
      return client.call(settingRoutes.setPackageSources, { input });
    },
    render: renderPackages,
  });
}

async function contentOf(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  return readFile(path, "utf8").catch((cause: unknown) => {
    throw new Fault("input.invalid", `cannot read ${path}`, { cause });
  });
}

function processors(text: string): number {
  if (/^\d{1,3}(\.\d{1,2})?$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Give a number, for example 1.5.");
}

function renderLimits(limits: WorkLimits): string {
  const { buildSeconds, buildMemoryMegabytes, buildProcessors, buildProcesses, hookSeconds, releaseMegabytes } = limits;
  return renderFacts({
    build: `${buildSeconds} s at most, ${buildMemoryMegabytes} MB, ${buildProcessors} processors, ${buildProcesses} processes`,
    hook: `${hookSeconds} s at most`,
    release: `${releaseMegabytes} MB of files at most`,
  });
}

function renderPackages({ npmrc, authorities }: PackageSources): string {
  const count = authorities.split("-----BEGIN CERTIFICATE-----").length - 1;
  return renderFacts({
    npmrc: npmrc.trim() === "" ? "none" : npmrc.trim(),
    authorities: count === 0 ? "none" : `${count} beside those that everybody trusts`,
  });
}
