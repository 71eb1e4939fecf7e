import { describe, expect, test } from "vitest";
import type { Principal } from "#src/auth/principal.ts";
import { parseCatalog } from "#src/catalog/schema.ts";
import type { KnownCall } from "#src/ingress/call.ts";
import { getModel, listModels } from "#src/ingress/models.ts";
import { asProblem, problemResponse } from "#src/problem.ts";
import { problemOf } from "#test/upstream/asked.ts";

const USER: Principal = {
  accountId: "i|u",
  userId: "u",
  tenant: null,
  tier: "default",
  roles: ["ai-users"],
  scopes: ["inference", "models", "embeddings"],
  keyId: null,
};

/** A call by this principal, as far as these conductors look at one. */
function callBy(changed: Partial<Principal> = {}): KnownCall {
  const served = (as: string) => [{ host: "inside", as }];
  const parsed = parseCatalog({
    hosts: [{ id: "inside", engine: "vllm", reach: { via: "direct", url: "http://inside" } }],
    models: [
      { id: "org/small", context: 4_096, served: served("secret-name") },
      { id: "large", served: served("secret-name-2") },
      { id: "costly", served: served("c"), allow: { tiers: ["enterprise"] } },
      { id: "trial", served: served("t"), allow: { roles: ["ai-admins"] } },
    ],
  });
  if (parsed.kind === "invalid") throw new Error("the test's catalog is invalid");
  return { catalog: parsed.catalog, principal: { ...USER, ...changed } } as KnownCall;
}

const SMALL = { id: "org/small", object: "model", created: 0, owned_by: "causeway", max_model_len: 4_096 };
const LARGE = { id: "large", object: "model", created: 0, owned_by: "causeway" };

test("the list, in the catalog's order, without hosts and their names", async () => {
  const text = await listModels(callBy()).text();
  expect(JSON.parse(text)).toEqual({ object: "list", data: [SMALL, LARGE] });
  expect(text).not.toMatch(/inside|secret/);
});

test("one, also by a name with a slash", async () => {
  expect(await getModel(callBy(), "org/small").json()).toEqual(SMALL);
});

/** The response that a caller gets instead, without the name that was asked for. */
async function refusalOf(id: string): Promise<{ status: number; headers: unknown; body: unknown }> {
  try {
    getModel(callBy(), id);
  } catch (thrown) {
    const response = problemResponse(asProblem(thrown), "/v1/models", "id");
    const text = (await response.text()).replace(JSON.stringify(JSON.stringify(id)).slice(1, -1), "");
    return { status: response.status, headers: [...response.headers], body: JSON.parse(text) };
  }
  throw new Error("it was shown");
}

test.each(["", "org", "LARGE", "large ", "__proto__", "costly", "trial"])("none of the name %j", async (id) => {
  const refused = await refusalOf(id);
  expect(refused).toMatchObject({ status: 404, body: { error: { code: "model_not_found", param: "model" } } });
  // To the letter the same, whether there is one or not.
  expect(refused).toEqual(await refusalOf("no-such-model"));
});

describe("models that are not for everyone", () => {
  test.each<{ name: string; changed: Partial<Principal>; sees: string[] }>([
    { name: "a tier", changed: { tier: "enterprise" }, sees: ["org/small", "large", "costly"] },
    {
      name: "an admin",
      changed: { roles: ["ai-admins"], scopes: ["models", "admin"] },
      sees: ["org/small", "large", "costly", "trial"],
    },
    { name: "a key that may only list", changed: { roles: [], scopes: ["models"] }, sees: ["org/small", "large"] },
  ])("are seen by $name: $sees", async ({ changed, sees }) => {
    const { data } = (await listModels(callBy(changed)).json()) as { data: { id: string }[] };
    expect(data.map(({ id }) => id)).toEqual(sees);
    for (const id of sees) expect(await getModel(callBy(changed), id).json()).toMatchObject({ id });
  });
});

describe("names that stand for a model", () => {
  const aliases = {
    auto: { rules: [{ when: { tools: true }, use: "costly" }], otherwise: "large" },
    costliest: { rules: [{ when: {}, use: "costly" }], otherwise: "trial" },
  };
  const by = (changed: Partial<Principal> = {}): KnownCall => {
    const call = callBy(changed);
    return { ...call, catalog: { ...call.catalog, aliases } };
  };
  const AUTO = { id: "auto", object: "model", created: 0, owned_by: "causeway" };

  test("come after the models, where one of theirs is open to the caller", async () => {
    const listed = async (changed: Partial<Principal>) => {
      const { data } = (await listModels(by(changed)).json()) as { data: { id: string }[] };
      return data.map(({ id }) => id);
    };
    expect(await listed({})).toEqual(["org/small", "large", "auto"]);
    expect(await listed({ tier: "enterprise" })).toEqual(["org/small", "large", "costly", "auto", "costliest"]);
  });

  test("have a page like a model's", async () => {
    expect(await getModel(by(), "auto").json()).toEqual(AUTO);
  });

  test("or none", () => {
    expect(() => getModel(by(), "costliest")).toThrow(expect.objectContaining({ code: "model_not_found" }));
  });
});

describe("models that are switched off", () => {
  const off = (id: string, how: "model" | "variants", changed: Partial<Principal> = {}): KnownCall => {
    const call = callBy(changed);
    const models = call.catalog.models.map((model) => {
      if (model.id !== id) return model;
      if (how === "model") return { ...model, enabled: false };
      return { ...model, served: model.served.map((place) => ({ ...place, enabled: false })) };
    });
    return { ...call, catalog: { ...call.catalog, models, aliases: { big: { rules: [], otherwise: "large" } } } };
  };

  test.each(["model", "variants"] as const)(
    "by the %s: not listed, also not by a name that stands for it",
    async (how) => {
      const { data } = (await listModels(off("large", how)).json()) as { data: { id: string }[] };
      expect(data.map(({ id }) => id)).toEqual(["org/small"]);
    },
  );

  test.each(["large", "big"])("who asks for %s hears that it is off, and that coming back is no use", (name) => {
    const problem = problemOf(() => getModel(off("large", "model"), name));
    const { status, headers } = problemResponse(problem, "/v1/models", "id");
    expect([problem.code, status, headers.get("x-should-retry")]).toEqual(["model_disabled", 503, "false"]);
  });

  test("one that is not open to the caller still looks like one that is not there", () => {
    expect(problemOf(() => getModel(off("costly", "model"), "costly")).code).toBe("model_not_found");
    expect(problemOf(() => getModel(off("costly", "model", { tier: "enterprise" }), "costly")).code).toBe(
      "model_disabled",
    );
  });
});
