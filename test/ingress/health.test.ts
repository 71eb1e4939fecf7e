import { describe, expect, test } from "vitest";
import type { Catalog } from "#src/catalog/schema.ts";
import { parseCatalog } from "#src/catalog/schema.ts";
import type { HostState } from "#src/fleet/health.ts";
import { healthOf } from "#src/ingress/health.ts";

const direct = (id: string) => ({
  id,
  engine: "vllm",
  reach: { via: "direct", url: `http://${id}.secret.example` },
  keyFrom: "A_KEY",
});

function catalog(): Catalog {
  const parsed = parseCatalog({
    hosts: [direct("a"), direct("b")],
    models: [
      {
        id: "both",
        served: [
          { host: "a", as: "m" },
          { host: "b", as: "m" },
        ],
      },
      { id: "only-b", served: [{ host: "b", as: "n" }] },
    ],
  });
  if (parsed.kind === "invalid") throw new Error("the test's catalog is invalid");
  return parsed.catalog;
}

describe("status and models by the states of the hosts", () => {
  const [yes, no] = ["serving", "not serving"];
  test.each<{
    name: string;
    states: Record<string, HostState>;
    status: string;
    both: string | undefined;
    onlyB: string | undefined;
  }>([
    { name: "all up", states: { a: "up", b: "up" }, status: "ok", both: yes, onlyB: yes },
    { name: "nothing known yet", states: {}, status: "ok", both: yes, onlyB: yes },
    {
      name: "one down, whose models others serve",
      states: { a: "down", b: "up" },
      status: "degraded",
      both: yes,
      onlyB: yes,
    },
    { name: "one down that a model needs", states: { a: "up", b: "down" }, status: "degraded", both: yes, onlyB: no },
    { name: "one loading", states: { a: "up", b: "loading" }, status: "degraded", both: yes, onlyB: no },
    { name: "all down", states: { a: "down", b: "down" }, status: "down", both: no, onlyB: no },
    {
      name: "a state of a host that is gone",
      states: { a: "up", b: "up", old: "down" },
      status: "ok",
      both: yes,
      onlyB: yes,
    },
  ])("$name: $status", ({ states, status, both, onlyB }) => {
    expect(healthOf(catalog(), states)).toMatchObject({ status, models: { both, "only-b": onlyB } });
  });
});

describe("models that are switched off", () => {
  const of = (both: object, onlyB: object) => {
    const known = catalog();
    const [first, second] = known.models;
    if (first === undefined || second === undefined) throw new Error("a catalog of two models");
    return {
      ...known,
      models: [
        { ...first, ...both },
        { ...second, ...onlyB },
      ],
    };
  };
  const variants = (a: boolean, b: boolean) => ({
    served: [
      { host: "a", as: "m", template: "chatml" as const, enabled: a },
      { host: "b", as: "m", template: "chatml" as const, enabled: b },
    ],
  });
  test.each<{ name: string; both?: object; onlyB?: object; states: Record<string, HostState>; said: object }>([
    {
      name: "one, which is no trouble",
      onlyB: { enabled: false },
      states: {},
      said: { status: "ok", models: { both: "serving", "only-b": "disabled" } },
    },
    { name: "all", both: { enabled: false }, onlyB: { enabled: false }, states: {}, said: { status: "down" } },
    {
      name: "by all its variants",
      both: variants(false, false),
      states: {},
      said: { status: "ok", models: { both: "disabled" } },
    },
    {
      name: "a variant whose other one is on a host that is down",
      both: variants(false, true),
      states: { b: "down" },
      said: { status: "down", models: { both: "not serving" } },
    },
    {
      name: "a variant, on the host that is down",
      both: variants(true, false),
      states: { b: "down" },
      said: { status: "degraded", models: { both: "serving" } },
    },
  ])("$name", ({ both = {}, onlyB = {}, states, said }) => {
    expect(healthOf(of(both, onlyB), states)).toMatchObject(said);
  });
});

test("it tells states by host id, and no address, key or name on the host", () => {
  const health = healthOf(catalog(), { a: "up" });
  expect(health.hosts).toEqual({ a: "up", b: "unknown" });
  expect(JSON.stringify(health)).not.toMatch(/secret|http|A_KEY|"m"|"n"/);
});
