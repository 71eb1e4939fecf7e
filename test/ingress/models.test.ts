import { expect, test } from "vitest";
import { parseCatalog } from "#src/catalog/schema.ts";
import { getModel, listModels } from "#src/ingress/models.ts";

function catalog() {
  const parsed = parseCatalog({
    hosts: [{ id: "inside", engine: "vllm", reach: { via: "direct", url: "http://inside" } }],
    models: [
      { id: "org/small", context: 4_096, served: [{ host: "inside", as: "secret-name" }] },
      { id: "large", served: [{ host: "inside", as: "secret-name-2" }] },
    ],
  });
  if (parsed.kind === "invalid") throw new Error("the test's catalog is invalid");
  return parsed.catalog;
}

const SMALL = { id: "org/small", object: "model", created: 0, owned_by: "causeway", max_model_len: 4_096 };
const LARGE = { id: "large", object: "model", created: 0, owned_by: "causeway" };

test("the list, in the catalog's order, without hosts and their names", async () => {
  const text = await listModels(catalog()).text();
  expect(JSON.parse(text)).toEqual({ object: "list", data: [SMALL, LARGE] });
  expect(text).not.toMatch(/inside|secret/);
});

test("one, also by a name with a slash", async () => {
  expect(await getModel(catalog(), "org/small").json()).toEqual(SMALL);
});

test.each(["", "org", "LARGE", "large ", "__proto__"])("none of the name %j", (id) => {
  expect(() => getModel(catalog(), id)).toThrow(expect.objectContaining({ code: "model_not_found", status: 404 }));
});
