import { describe, expect, test } from "vitest";
import { patienceOf } from "#src/ingress/patience.ts";
import { catalogOf, valid } from "#test/catalog/catalog-of.ts";

type Asked = { readonly queue?: object; readonly headers?: Record<string, string> };

function patience({ queue, headers = {} }: Asked) {
  const [model] = valid(catalogOf({ model: { deadlines: { firstToken: 30_000 }, ...(queue && { queue }) } })).models;
  if (model === undefined) throw new Error("the catalog has a model");
  return patienceOf(model, new Headers(headers));
}

const SDK = "x-stainless-timeout";

describe("how long a request may wait", () => {
  test.each<{ name: string; asked: Asked; maxWaitMs: number; mayCut: boolean }>([
    { name: "as long as its first token may take", asked: {}, maxWaitMs: 30_000, mayCut: true },
    { name: "as the model's line says", asked: { queue: { maxWait: 5_000 } }, maxWaitMs: 5_000, mayCut: false },
    { name: "even longer", asked: { queue: { maxWait: 60_000 } }, maxWaitMs: 60_000, mayCut: false },
    { name: "not at all", asked: { queue: { maxWait: 0 } }, maxWaitMs: 0, mayCut: false },
    { name: "as the caller says", asked: { headers: { prefer: "wait=10" } }, maxWaitMs: 10_000, mayCut: false },
    { name: "who may say nothing", asked: { headers: { prefer: "wait=0" } }, maxWaitMs: 0, mayCut: false },
    {
      name: "among other preferences, in whatever case",
      asked: { headers: { prefer: 'respond-async, Wait = "7"; foo=bar' } },
      maxWaitMs: 7_000,
      mayCut: false,
    },
    {
      name: "never longer than the model",
      asked: { headers: { prefer: "wait=600" } },
      maxWaitMs: 30_000,
      mayCut: false,
    },
    {
      name: "the shorter of model and caller",
      asked: { queue: { maxWait: 5_000 }, headers: { prefer: "wait=2" } },
      maxWaitMs: 2_000,
      mayCut: false,
    },
    {
      name: "no longer than the SDK waits, which nobody asked for in particular",
      asked: { headers: { [SDK]: "4" } },
      maxWaitMs: 4_000,
      mayCut: true,
    },
    { name: "an SDK that waits for longer", asked: { headers: { [SDK]: "600" } }, maxWaitMs: 30_000, mayCut: true },
    {
      name: "the shortest of all three",
      asked: { queue: { maxWait: 5_000 }, headers: { prefer: "wait=4", [SDK]: "3.5" } },
      maxWaitMs: 3_500,
      mayCut: false,
    },
  ])("$name", ({ asked, maxWaitMs, mayCut }) => {
    expect(patience(asked)).toMatchObject({ maxWaitMs, mayCutWait: mayCut });
  });

  test.each([
    { name: "no number", headers: { prefer: "wait=soon" } },
    { name: "a negative one", headers: { prefer: "wait=-5" } },
    { name: "part of a second", headers: { prefer: "wait=1.5" } },
    { name: "another preference that ends so", headers: { prefer: "dont-wait=5" } },
    { name: "an endless one", headers: { prefer: "wait=99999999999" } },
    { name: "an SDK's nonsense", headers: { [SDK]: "soon" } },
    { name: "an SDK's nothing", headers: { [SDK]: "0" } },
    { name: "an SDK's empty one", headers: { [SDK]: "" } },
    { name: "an SDK's negative one", headers: { [SDK]: "-1" } },
  ])("what says nothing changes nothing: $name", ({ headers }) => {
    expect(patience({ headers })).toEqual(patience({}));
  });

  test("the line's length is the model's", () => {
    expect(patience({ queue: { maxWaiting: 7 } }).maxWaiting).toBe(7);
  });
});
