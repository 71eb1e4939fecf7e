import { expect, it } from "vitest";
import { whereOf } from "#scripts/gateway/where.ts";

it.each([
  { flags: {}, where: { stateDir: ".causeway", gateway: null } },
  { flags: { state: "/tmp/x" }, where: { stateDir: "/tmp/x", gateway: null } },
  {
    flags: { gateway: "https://ai.example.com/" },
    where: { stateDir: ".causeway", gateway: "https://ai.example.com" },
  },
  { flags: { gateway: "http://127.0.0.1:8787" }, where: { stateDir: ".causeway", gateway: "http://127.0.0.1:8787" } },
])("$flags", ({ flags, where }) => {
  expect(whereOf(flags)).toEqual(where);
});

it.each(["http://ai.example.com", "ai", "ftp://ai.example.com"])(
  "%s is refused: a token would go there in the clear",
  (gateway) => {
    expect(() => whereOf({ gateway })).toThrow(expect.objectContaining({ exitCode: 2 }));
  },
);
