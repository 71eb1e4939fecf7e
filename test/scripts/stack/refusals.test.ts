// What the stack refuses before it starts anything: catalogs, secrets and ports, each naming what to change.
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { exampleModel, onLab, readCatalog } from "#scripts/stack/catalog-file.ts";
import { freePort, gatewayPort } from "#scripts/stack/ports.ts";
import { Refusal } from "#scripts/stack/refusal.ts";
import { engineKeys, gatewaySecret } from "#scripts/stack/secrets.ts";
import { openStateDir } from "#scripts/stack/state-dir.ts";
import { dotenv } from "#scripts/stack/worker-env.ts";

const folder = mkdtempSync(join(tmpdir(), "causeway-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const host = { id: "gpu", engine: "vllm", reach: { via: "direct", url: "http://10.0.0.7:8000" }, keyFrom: "GPU_KEY" };
const model = { id: "m", served: [{ host: "gpu", as: "M" }] };

function written(content: unknown): string {
  const file = join(folder, `${Math.random()}.json`);
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}

describe("a catalog", () => {
  it.each([
    ["is not there", () => join(folder, "none.json"), "ENOENT"],
    ["is not JSON", () => written("{ hosts: }"), "is not JSON"],
    [
      "has a bad URL",
      () => written({ hosts: [{ ...host, reach: { via: "direct", url: "10.0.0.7" } }], models: [model] }),
      "hosts.0.reach.url: ",
    ],
    [
      "names an unknown host",
      () => written({ hosts: [host], models: [{ ...model, served: [{ host: "gpv", as: "M" }] }] }),
      "models.0.served.0.host: ",
    ],
    [
      "is reached through Workers VPC",
      () =>
        written({
          hosts: [host, { ...host, id: "far", reach: { via: "vpc", binding: "FAR", url: "http://far" } }],
          models: [model],
        }),
      "hosts.1.reach.via: ",
    ],
  ])("that %s is refused with its file and the reason", (_, file, reason) => {
    const path = file();
    const refused = expect.objectContaining({ exitCode: 2, message: expect.stringContaining(reason) });
    expect(() => readCatalog(path)).toThrow(refused);
    expect(() => readCatalog(path)).toThrow(path);
  });

  it("may begin with a byte order mark", () => {
    const plain = JSON.stringify({ hosts: [host], models: [model] });
    expect(readCatalog(written(`\uFEFF${plain}`))).toEqual(readCatalog(written(plain)));
  });

  it("is pointed at the lab by host id, and only there", () => {
    const catalog = readCatalog(null);
    const moved = onLab(catalog, { gpu: "http://127.0.0.1:1" });
    expect(moved.hosts.find(({ id }) => id === "gpu")?.reach.url).toBe("http://127.0.0.1:1");
    expect(moved.hosts.filter(({ id }) => id !== "gpu")).toEqual(catalog.hosts.filter(({ id }) => id !== "gpu"));
    expect(exampleModel(catalog)).toBe("llama-3.1-8b");
  });
});

describe("the engines' keys", () => {
  const file = written({ hosts: [host], models: [model] });
  const catalog = readCatalog(file);

  it("come from the environment", () => {
    const env = { GPU_KEY: "k", ACCESS_CLIENT_ID: "id", OTHER: "no" };
    expect(engineKeys(catalog, file, false, env)).toEqual({ GPU_KEY: "k", ACCESS_CLIENT_ID: "id" });
  });

  it("are made for the lab", () => {
    expect(engineKeys(catalog, null, true, {}).GPU_KEY).toMatch(/^[\w-]{32}$/);
  });

  it("are missed with the place in the catalog and the variable", () => {
    for (const named of ["hosts.0.keyFrom", file, "GPU_KEY"]) {
      expect(() => engineKeys(catalog, file, false, { GPU_KEY: "" })).toThrow(named);
    }
  });

  const [id, secret] = ["ACCESS_CLIENT_ID", "ACCESS_CLIENT_SECRET"] as const;
  const behindAccess = written({
    hosts: [host, { ...host, id: "far", keyFrom: undefined, reach: { via: "access", url: "https://far.example" } }],
    models: [model],
  });
  it.each([
    [{}, [id, secret]],
    [{ [id]: "i" }, [secret]],
    [{ [id]: "", [secret]: "s" }, [id]],
  ])("want the Access service token for a host behind Access: %j", (given, missing) => {
    const refusal = refusalOf(() =>
      engineKeys(readCatalog(behindAccess), behindAccess, false, { GPU_KEY: "k", ...given }),
    );
    expect(refusal.exitCode).toBe(2);
    expect(refusal.message).toContain(behindAccess);
    expect(refusal.message).toContain("hosts.1.reach.via: ");
    expect(refusal.message.match(/ACCESS_\w+/g)).toEqual(missing);
  });

  it("hold the Access service token when it is there", () => {
    const env = { GPU_KEY: "k", [id]: "i", [secret]: "s" };
    expect(engineKeys(readCatalog(behindAccess), behindAccess, false, env)).toEqual(env);
  });

  it("of the bundled catalog without the lab are all named, after the flag that is likely meant", () => {
    const refusal = refusalOf(() => engineKeys(readCatalog(null), null, false, {}));
    expect(refusal.message).toMatch(/--no-lab.*--catalog.*VLLM_API_KEY.*JETSON_API_KEY/);
  });
});

describe("a state folder", () => {
  it.each([
    // Node's own recursive mkdir never returns from this one.
    ["under /proc", () => "/proc/causeway/state"],
    ["under a file", () => join(written("{}"), "state")],
  ])("%s is refused with its path and the flag", (_, path) => {
    const refusal = refusalOf(() => openStateDir(path()));
    expect(refusal.exitCode).toBe(1);
    expect(refusal.message).toMatch(/state .*--state/);
  });

  it("is made with the folders above it, and kept when it is there", () => {
    const path = join(folder, "deep", "er", "state");
    expect(openStateDir(path)).toEqual(openStateDir(path));
    expect(statSync(join(path, "logs")).mode & 0o777).toBe(0o700);
  });
});

describe("the gateway's secret", () => {
  const state = openStateDir(join(folder, "state"));

  it("is made once and kept", () => {
    const made = gatewaySecret(state, {});
    expect(made).toMatch(/^[\w-]{43}$/);
    expect(gatewaySecret(state, {})).toBe(made);
  });

  it.each([
    ["x".repeat(31), null],
    ["", null],
    ["x".repeat(32), "x".repeat(32)],
  ])("from the environment: %j", (given, taken) => {
    const read = () => gatewaySecret(state, { CAUSEWAY_SECRET: given });
    if (taken === null) expect(read).toThrow("CAUSEWAY_SECRET");
    else expect(read()).toBe(taken);
  });
});

describe("the Worker's variables as dotenv", () => {
  it.each([
    ["plain", "abc", "N='abc'\n"],
    ["a dollar sign, which would be expanded", "a$HOME", "N='a\\$HOME'\n"],
    ["a hash", "a#b c", "N='a#b c'\n"],
    ["a single quote", "a'b", 'N="a\'b"\n'],
    ["both quotes", "a'b\"c", "N=`a'b\"c`\n"],
  ])("%s", (_, value, line) => {
    expect(dotenv({ N: value })).toBe(line);
  });

  it.each(["a\nb", "a'b\"c`d"])("%j is refused by name, not by value", (value) => {
    expect(() => dotenv({ SOME_KEY: value })).toThrow(/SOME_KEY(?!.*a'b)/);
  });
});

describe("the gateway's port", () => {
  it("in use is refused with the port and the flag", async () => {
    const port = await freePort();
    const server = createServer();
    await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
    try {
      const refused = expect.objectContaining({ exitCode: 1, message: expect.stringMatching(`Port ${port} .*--port`) });
      await expect(gatewayPort(port)).rejects.toEqual(refused);
    } finally {
      server.close();
    }
    expect(await gatewayPort(port)).toBe(port);
  });

  it("0 is any free one", async () => {
    expect(await gatewayPort(0)).toBeGreaterThan(1024);
  });
});

function refusalOf(work: () => unknown): Refusal {
  try {
    work();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}
