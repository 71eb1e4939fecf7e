import { describe, expect, test } from "vitest";
import { isEnabled, STRATEGIES } from "#src/catalog/model.ts";
import { catalogOf, HOST, valid, wrongAt } from "./catalog-of.ts";

test("what a model leaves out has a default", () => {
  const [model] = valid(catalogOf()).models;
  expect(model).toMatchObject({
    shadow: [],
    strategy: "weighted",
    affinity: true,
    queue: { maxWaiting: 1_000 },
    enabled: true,
    served: [{ enabled: true }],
  });
  expect([model?.residency, model?.queue.maxWait, model?.served[0]?.split]).toEqual([undefined, undefined, undefined]);
});

test("a shadow copies every request unless it says otherwise", () => {
  const [model] = valid(catalogOf({ model: { shadow: [{ host: "gpu", as: "new" }] } })).models;
  expect(model?.shadow).toEqual([{ host: "gpu", as: "new", template: "chatml", sample: 1 }]);
});

test.each(STRATEGIES)("the strategy %s", (strategy) => {
  expect(valid(catalogOf({ model: { strategy } })).models[0]?.strategy).toBe(strategy);
});

test.each([
  { name: "as written", model: {}, enabled: true },
  { name: "switched off", model: { enabled: false }, enabled: false },
  {
    name: "one variant on",
    model: {
      served: [
        { host: "gpu", as: "a", enabled: false },
        { host: "b", as: "b" },
      ],
    },
    enabled: true,
  },
  { name: "every variant off", model: { served: [{ host: "gpu", as: "a", enabled: false }] }, enabled: false },
])("a model $name: enabled $enabled", ({ model, enabled }) => {
  const [parsed] = valid(catalogOf({ model, rest: { hosts: [HOST, { ...HOST, id: "b" }] } })).models;
  expect(parsed === undefined ? null : isEnabled(parsed)).toBe(enabled);
});

describe("refused, with the path", () => {
  const served = (more: object) => ({ served: [{ host: "gpu", as: "m", ...more }] });
  const shadow = (more: object) => ({ shadow: [{ host: "gpu", as: "m", ...more }] });
  test.each<{ name: string; model: object; path: string }>([
    { name: "a strategy nobody knows", model: { strategy: "random" }, path: "models.0.strategy" },
    { name: "affinity as a word", model: { affinity: "session" }, path: "models.0.affinity" },
    { name: "a wait of less than nothing", model: { queue: { maxWait: -1 } }, path: "models.0.queue.maxWait" },
    { name: "a line for nobody", model: { queue: { maxWaiting: 0 } }, path: "models.0.queue.maxWaiting" },
    { name: "a typo in a line", model: { queue: { maxWaitMs: 1 } }, path: "models.0.queue" },
    { name: "a residency that is none", model: { residency: "cloud" }, path: "models.0.residency" },
    { name: "a switch as a word", model: { enabled: "no" }, path: "models.0.enabled" },
    { name: "a negative split", model: served({ split: -1 }), path: "models.0.served.0.split" },
    { name: "a variant's switch as a word", model: served({ enabled: 0 }), path: "models.0.served.0.enabled" },
    { name: "more copies than requests", model: shadow({ sample: 1.1 }), path: "models.0.shadow.0.sample" },
    { name: "a copy with a split", model: shadow({ split: 1 }), path: "models.0.shadow.0" },
    { name: "a copy without a name", model: shadow({ as: "" }), path: "models.0.shadow.0.as" },
  ])("$name", ({ model, path }) => {
    expect(wrongAt(catalogOf({ model }))).toEqual([path]);
  });
});
