// The command line of `npm run jobs`: what is asked of the gateway, and what is refused before anything is asked.
import { describe, expect, it } from "vitest";
import { parseCommand } from "#scripts/jobs/command.ts";

const words = (line: string): string[] => (line === "" ? [] : line.split(" "));

describe("commands that are taken", () => {
  it.each<[string, object]>([
    ["", { name: null, request: { method: "GET", path: "/admin/jobs", body: null }, json: false, gateway: null }],
    ["--json", { name: null, json: true }],
    ["rollups", { name: "rollups", request: { method: "POST", path: "/admin/jobs/rollups", body: null } }],
    ["a/../b", { request: { path: "/admin/jobs/a%2F..%2Fb" } }],
    [
      "reconcile --period 2026-11-21T08:00:00+01:00 --json",
      { request: { path: "/admin/jobs/reconcile?period=2026-11-21T08%3A00%3A00%2B01%3A00" }, json: true },
    ],
    ["rollups --state /tmp/x", { stateDir: "/tmp/x" }],
    ["rollups --gateway https://ai.example.com", { gateway: "https://ai.example.com" }],
  ])("%s", (line, command) => {
    expect(parseCommand(words(line))).toMatchObject(command);
  });

  it("--help asks for nothing", () => {
    expect(parseCommand(["rollups", "--help"])).toBeNull();
  });
});

describe("commands that are refused", () => {
  it.each([
    ["rollups retention", "One job"],
    ["--period 2026-11-21T08:00:00Z", "--period"],
    ["rollups --gateway http://ai.example.com", "--gateway"],
    ["rollups --colour red", "--colour"],
  ])("%s", (line, named) => {
    const parse = () => parseCommand(words(line));
    expect(parse).toThrow(expect.objectContaining({ exitCode: 2, message: expect.stringContaining(named) }));
  });
});
