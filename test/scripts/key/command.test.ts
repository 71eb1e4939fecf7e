// The command line of `npm run key`: what each command asks of the gateway, and what is refused before anything is asked.
import { describe, expect, it } from "vitest";
import { parseCommand } from "#scripts/key/command.ts";
import { Refusal } from "#scripts/stack/refusal.ts";

describe("commands that are taken", () => {
  it.each<[string, unknown]>([
    [
      "issue --owner n8n --scopes inference,models --label nightly",
      {
        method: "POST",
        path: "/admin/keys",
        body: { owner: "n8n", scopes: ["inference", "models"], label: "nightly" },
      },
    ],
    [
      "issue --owner n8n --scopes metrics --label l --tier premium --days 7",
      {
        method: "POST",
        path: "/admin/keys",
        body: { owner: "n8n", scopes: ["metrics"], label: "l", tier: "premium", expiresInDays: 7 },
      },
    ],
    ["list", { method: "GET", path: "/admin/keys?limit=200", body: null }],
    [
      "list --owner a+b --only revoked",
      { method: "GET", path: "/admin/keys?limit=200&owner=a%2Bb&state=revoked", body: null },
    ],
    ["rotate key_-a_1", { method: "POST", path: "/admin/keys/key_-a_1/rotate", body: {} }],
    ["rotate key_1 --overlap-hours 0", { method: "POST", path: "/admin/keys/key_1/rotate", body: { overlapHours: 0 } }],
    ["revoke key_1", { method: "DELETE", path: "/admin/keys/key_1", body: null }],
  ])("%s", (line, request) => {
    expect(parseCommand(line.split(" "))).toEqual({
      name: line.split(" ")[0],
      request,
      json: false,
      stateDir: ".causeway",
      gateway: null,
    });
  });

  it.each([
    ["--json", { json: true }],
    ["--state /tmp/x", { stateDir: "/tmp/x" }],
    ["--gateway https://ai.example.com/", { gateway: "https://ai.example.com" }],
    ["--gateway http://127.0.0.1:8787", { gateway: "http://127.0.0.1:8787" }],
  ])("list %s", (flags, change) => {
    expect(parseCommand(["list", ...flags.split(" ")])).toMatchObject(change);
  });

  it("--help asks for nothing", () => {
    expect(parseCommand(["issue", "--help"])).toBeNull();
  });
});

describe("commands that are refused", () => {
  it.each([
    ["", "No command"],
    ["make", "make"],
    ["list extra", "operands"],
    ["list --days 3", "--days"],
    ["rotate", "id of one key"],
    ["rotate key_1 key_2", "id of one key"],
    ["revoke ../fleet", "key_"],
    ["revoke key_1/rotate", "key_"],
    ["revoke key_1 --owner n8n", "--owner"],
    ["issue --scopes models --label l", "--owner"],
    ["issue --owner a --label l", "--scopes"],
    ["issue --owner a --scopes models", "--label"],
    ["issue --owner a --scopes models --label l --days x", "--days"],
    ["rotate key_1 --overlap-hours= ", "--overlap-hours"],
    ["list --gateway http://ai.example.com", "--gateway"],
    ["list --gateway ai", "--gateway"],
    ["list --colour red", "--colour"],
  ])("%s", (line, named) => {
    const parse = () => parseCommand(line === "" ? [] : line.split(" "));
    expect(parse).toThrow(expect.objectContaining({ exitCode: 2, message: expect.stringContaining(named) }));
  });

  it("a pasted key, without repeating it", () => {
    const key = "cw_NotARealKeyNotARealKeyNotARealKey";
    const refusal = (() => {
      try {
        return parseCommand(["revoke", key]);
      } catch (error) {
        return error;
      }
    })();
    expect(refusal).toBeInstanceOf(Refusal);
    expect(String(refusal)).toContain("a key itself");
    expect(String(refusal)).not.toContain(key);
  });
});
