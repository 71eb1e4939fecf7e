// The on-prem end: what `npm run tunnel` writes for a catalog, what it finds in a file, and what the real cloudflared says.
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { readCatalog } from "#scripts/stack/catalog-file.ts";
import { check, DANGEROUS, mayNotPass } from "#scripts/tunnel/check.ts";
import { askCloudflared } from "#scripts/tunnel/cloudflared.ts";
import { parseCommand } from "#scripts/tunnel/command.ts";
import { matchingRule, readConfig } from "#scripts/tunnel/config.ts";
import { KNOWN_PATHS, pathRuleOf, pathsOf } from "#scripts/tunnel/paths.ts";
import { type PlannedTunnel, planOf } from "#scripts/tunnel/plan.ts";
import { render } from "#scripts/tunnel/render.ts";
import { type Catalog, parseCatalog } from "#src/catalog/schema.ts";

const ROOT = join(import.meta.dirname, "../../..");
const FILES = join(ROOT, "tunnel/cloudflared");
const EXAMPLE = planOf(readCatalog(join(ROOT, "tunnel/catalog.example.json")));
const script = (args: readonly string[], path = process.env.PATH) =>
  spawnSync(process.execPath, [join(ROOT, "scripts/tunnel.ts"), ...args], {
    encoding: "utf8",
    env: { ...process.env, PATH: path },
  });

function catalogOf(...hosts: object[]): Catalog {
  const whole = hosts.map((host, at) => ({ id: `h${at}`, engine: "vllm", ...host }));
  const parsed = parseCatalog({ hosts: whole, models: [{ id: "m", served: [{ host: "h0", as: "m" }] }] });
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  return parsed.catalog;
}

const access = (more: object = {}) => ({ reach: { via: "access", url: "https://h.example.com", ...more } });
const ALL = ["responses", "messages", "rerank", "transcriptions", "tokenize"] as const;

describe("a host's paths are what it serves, and no more", () => {
  test.each([
    {
      name: "vLLM",
      host: { engine: "vllm", native: false, offers: [] },
      paths: "/health /metrics /v1/chat/completions /v1/completions /v1/embeddings /v1/models",
    },
    {
      name: "vLLM that offers everything",
      host: { engine: "vllm", native: false, offers: [...ALL] },
      paths:
        "/health /metrics /rerank /tokenize /v1/audio/transcriptions /v1/chat/completions /v1/completions /v1/embeddings /v1/messages /v1/messages/count_tokens /v1/models /v1/rerank /v1/responses",
    },
    {
      name: "llama.cpp",
      host: { engine: "llamacpp", native: false, offers: ["tokenize"] },
      paths:
        "/apply-template /health /metrics /props /slots /tokenize /v1/chat/completions /v1/completions /v1/embeddings /v1/models",
    },
    {
      name: "a native llama.cpp",
      host: { engine: "llamacpp", native: true, offers: [] },
      paths: "/completion /health /metrics /props /slots",
    },
    {
      name: "a service without load to tell",
      host: { engine: "openai", native: false, offers: ["responses"] },
      paths: "/v1/chat/completions /v1/completions /v1/embeddings /v1/models /v1/responses",
    },
  ] as const)("$name", ({ host, paths }) => {
    expect(pathsOf({ ...host, offers: [...host.offers] }).join(" ")).toBe(paths);
    const rule = new RegExp(pathRuleOf({ ...host, offers: [...host.offers] }));
    for (const path of paths.split(" ")) expect(rule.test(path)).toBe(true);
    for (const path of mayNotPass(paths.split(" "))) expect([path, rule.test(path)]).toEqual([path, false]);
  });

  test("what may not pass holds the dangerous routes and every path that others serve", () => {
    const closed = mayNotPass(["/health"]);
    expect(closed).toEqual(expect.arrayContaining([...DANGEROUS, ...KNOWN_PATHS.filter((path) => path !== "/health")]));
    expect(closed).not.toContain("/health");
  });
});

describe("a catalog's tunnels", () => {
  test("are one per machine: hosts that share one, and hosts with one of their own", () => {
    const plan = planOf(
      catalogOf(
        access(),
        { engine: "llamacpp", ...access({ url: "https://l.example.com/" }) },
        {
          engine: "openai",
          ...access({ url: "https://o.example.com/base", service: "http://10.0.0.9:9", tunnel: "h0" }),
        },
        { reach: { via: "direct", url: "http://127.0.0.1:1" } },
      ),
    );
    expect(
      plan.map(({ name, rules }) => [name, rules.map(({ host, hostname, service }) => [host, hostname, service])]),
    ).toEqual([
      [
        "h0",
        [
          ["h0", "h.example.com", "http://127.0.0.1:8000"],
          ["h2", "o.example.com", "http://10.0.0.9:9"],
        ],
      ],
      ["h1", [["h1", "l.example.com", "http://127.0.0.1:8080"]]],
    ]);
    // cloudflared passes a path on as it came, so what stands before the engine's own is part of the rule.
    expect(plan[0]?.rules[1]?.path).toMatch(/^\^\/base\/\(v1/);
    expect(plan[0]?.rules[1]?.allowed).toContain("/base/v1/models");
  });

  test.each([
    { name: "no host behind Access", hosts: [{ reach: { via: "direct", url: "http://h" } }], says: /needs no tunnel/ },
    { name: "a host without https", hosts: [access({ url: "http://h.example.com" })], says: /hosts\.0\.reach\.url/ },
    {
      name: "a service of no known port",
      hosts: [access(), { engine: "openai", ...access() }],
      says: /hosts\.1\.reach\.service/,
    },
  ])("$name is refused by its path", ({ hosts, says }) => {
    expect(() => planOf(catalogOf(...hosts))).toThrow(says);
  });

  test.each(["http://127.0.0.1:8000/v1", "127.0.0.1:8000", "ftp://h"])("a service at %s is none", (service) => {
    expect(() => catalogOf(access({ service }))).toThrow("hosts.0.reach.service");
  });
});

describe("the files in tunnel/", () => {
  test("are what render writes for the example", () => {
    expect(readdirSync(FILES).sort()).toEqual(["cpu.yml", "gpu.yml", "jetson.yml"]);
    for (const tunnel of EXAMPLE) {
      expect(readFileSync(join(FILES, `${tunnel.name}.yml`), "utf8")).toBe(render(tunnel, {}));
    }
  });

  test("render writes them, with what the operator's account knows in its place", () => {
    const dir = mkdtempSync(join(tmpdir(), "causeway-tunnel-"));
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
    const account = ["--team", "acme", "--id", "gpu=1234", "--aud", "gpu=tag-a", "--aud", "gpu=tag-b"];
    expect(script(["render", "--dir", dir, ...account])).toMatchObject({ status: 0, stderr: "" });
    expect(readdirSync(dir).sort()).toEqual(["cpu.yml", "gpu.yml", "jetson.yml"]);
    const reading = readConfig(readFileSync(join(dir, "gpu.yml"), "utf8"));
    expect(reading).toMatchObject({
      config: {
        tunnel: "1234",
        "credentials-file": "/etc/cloudflared/1234.json",
        originRequest: { access: { required: true, teamName: "acme", audTag: ["tag-a", "tag-b"] } },
      },
    });
    const text = readFileSync(join(dir, "gpu.yml"), "utf8");
    writeFileSync(join(dir, "gpu.yml"), text.replace("required: true", "required: false"));
    writeFileSync(join(dir, "old.yml"), "");
    const checked = script(["check", "--dir", dir]);
    expect(checked.status).toBe(1);
    expect(checked.stdout).toMatch(/gpu\.yml: ingress\.0: Access is not required/);
    expect(checked.stdout).toMatch(/cpu\.yml: note: REPLACE-WITH-TUNNEL-ID/);
    expect(checked.stdout).toMatch(/old\.yml belongs to no tunnel/);
    rmSync(join(dir, "gpu.yml"));
    expect(script(["check", "--dir", dir])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("gpu.yml is missing"),
    });
  });

  test("every path of every host leads to its engine, and none to another's", () => {
    for (const { name, rules } of EXAMPLE) {
      const reading = readConfig(readFileSync(join(FILES, `${name}.yml`), "utf8"));
      if (reading.kind !== "read") throw new Error(reading.problems.join());
      for (const { hostname, service, allowed } of rules) {
        for (const path of allowed) expect(matchingRule(reading.config, hostname, path)?.service).toBe(service);
      }
      expect(matchingRule(reading.config, "other.example.com", "/health")?.service).toBe("http_status:404");
    }
  });
});

describe("check finds", () => {
  const [tunnel] = planOf(catalogOf(access()));
  if (tunnel === undefined) throw new Error("one tunnel");
  const good = render(tunnel, { team: "t", tunnelId: "i", audTags: ["a"] });

  test("nothing in what render wrote", () => {
    expect(check(good, tunnel)).toEqual({ problems: [], notes: [] });
  });

  test.each<{ name: string; from: string | RegExp; to: string; says: RegExp }>([
    {
      name: "Access that is not required",
      from: "required: true",
      to: "required: false",
      says: /^ingress\.\d: Access is not required/,
    },
    { name: "no word of Access", from: / {2}access:\n( {4}.*\n| {6}.*\n)+/, to: "", says: /Access is not required/ },
    { name: "a slip in the word", from: "access:", to: "acces:", says: /^originRequest: .*acces/ },
    { name: "no team", from: "teamName: t", to: 'teamName: ""', says: /teamName is empty/ },
    { name: "no audience", from: /audTag:\n.*\n/, to: "audTag: []\n", says: /audTag is empty/ },
    {
      name: "a rule that takes Access back",
      from: "    service: http://127.0.0.1:8000\n",
      to: "    service: http://127.0.0.1:8000\n    originRequest: { access: { required: false, teamName: t, audTag: [a] } }\n",
      says: /^ingress\.0: Access is not required/,
    },
    { name: "no allow-list", from: / {4}path: .*\n/, to: "", says: /^ingress\.0: a rule needs the path's allow-list/ },
    {
      name: "no hostname",
      from: "hostname: h.example.com\n    ",
      to: "",
      says: /^ingress\.0: a rule needs a hostname/,
    },
    {
      name: "a stranger's hostname",
      from: "h.example.com",
      to: "x.example.com",
      says: /^ingress\.0: no host of the catalog/,
    },
    {
      name: "an allow-list that is not anchored at its end",
      from: ")$\n",
      to: ")\n",
      says: /must begin with \^ and end with \$/,
    },
    { name: "an allow-list that is not anchored at its beginning", from: "^/(", to: "/(", says: /must begin with \^/ },
    { name: "a path too many", from: "|metrics", to: "|metrics|sleep", says: /\/sleep is let through/ },
    { name: "a path that another engine has", from: "|metrics", to: "|metrics|slots", says: /\/slots is let through/ },
    {
      name: "everything let through",
      from: / {4}path: .*\n/,
      to: "    path: ^/.*$\n",
      says: /load_lora_adapter is let through/,
    },
    { name: "a path too few", from: "|metrics", to: "", says: /\/metrics does not lead to/ },
    {
      name: "the wrong engine",
      from: "127.0.0.1:8000",
      to: "127.0.0.1:8001",
      says: /does not lead to http:\/\/127\.0\.0\.1:8000/,
    },
    {
      name: "no catch-all",
      from: "  - service: http_status:404\n",
      to: "",
      says: /^ingress\.0: the last rule must catch all/,
    },
    {
      name: "a catch-all that catches nothing",
      from: "http_status:404",
      to: "http://127.0.0.1:8000",
      says: /must end in http_status:404/,
    },
    {
      name: "a catch-all before its time",
      from: "ingress:\n",
      to: "ingress:\n  - service: http_status:404\n",
      says: /^ingress\.0: a rule needs a hostname/,
    },
    { name: "an expression that Go does not have", from: "^/(", to: "^(?=/)/(", says: /no regular expression of Go's/ },
    { name: "an expression that nobody has", from: "^/(", to: "^/((", says: /no regular expression of Go's/ },
    { name: "http2", from: "protocol: quic", to: "protocol: http2", says: /^protocol: / },
    { name: "a key that cloudflared does not know", from: "metrics: 127", to: "metric: 127", says: /metric/ },
    { name: "no YAML", from: "ingress:", to: "ingress: [", says: /^no YAML/ },
    { name: "nothing", from: /[\s\S]*/, to: "", says: /^the file: / },
  ])("$name", ({ from, to, says }) => {
    const changed = good.replace(from, to);
    expect(changed).not.toBe(good);
    expect(check(changed, tunnel).problems.join("\n")).toMatch(new RegExp(says.source, "m"));
  });

  test("what is still to be replaced, as a note", () => {
    const { problems, notes } = check(render(tunnel, { team: "t" }), tunnel);
    expect(problems).toEqual([]);
    expect(notes).toEqual([
      "REPLACE-WITH-TUNNEL-ID is still to be replaced",
      "REPLACE-WITH-AUDIENCE-TAG is still to be replaced",
    ]);
  });
});

describe("cloudflared", () => {
  const file = join(FILES, "gpu.yml");
  const [gpu] = EXAMPLE;
  if (gpu === undefined) throw new Error("a tunnel of the GPU box");

  /** A PATH on which a program of this name answers as the real one's source has it, or as the test breaks it. */
  function onPath(broken: { readonly validate?: string; readonly rule?: string } = {}): string {
    const dir = mkdtempSync(join(tmpdir(), "causeway-cloudflared-"));
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
    const matches = `case "$6" in ${gpu?.rules[0]?.allowed.map((path) => `https://gpu.example.com${path}`).join("|")}) s=http://127.0.0.1:8000;; *) s=http_status:404;; esac`;
    const lines = [
      "#!/bin/sh",
      'if [ "$1" = --version ]; then echo "cloudflared version 0.0.0 (stand-in)"; exit 0; fi',
      '[ "$1 $2 $4" = "tunnel --config ingress" ] && [ -f "$3" ] || exit 64',
      `if [ "$5" = validate ]; then ${broken.validate ?? "echo OK; exit 0"}; fi`,
      `if [ "$5" = rule ]; then ${broken.rule ?? matches}; printf 'Matched rule #0\\n\\thostname: x\\n\\tservice: %s\\n' "$s"; exit 0; fi`,
      "exit 64",
    ];
    writeFileSync(join(dir, "cloudflared"), `${lines.join("\n")}\n`);
    chmodSync(join(dir, "cloudflared"), 0o755);
    return [dir, process.env.PATH].join(delimiter);
  }
  const asked = (tunnel: PlannedTunnel, PATH: string) => askCloudflared(file, tunnel, { ...process.env, PATH });

  test("a program that agrees on every URL is told of by its version", async () => {
    const opinion = await asked(gpu, onPath());
    expect(opinion).toMatchObject({ kind: "asked", version: "cloudflared version 0.0.0 (stand-in)", problems: [] });
    expect(opinion.kind === "asked" && opinion.urls).toBe((gpu.rules[0]?.allowed.length ?? 0) + 6);
  });

  test.each([
    {
      name: "does not take the file",
      broken: { validate: "echo 'Validation failed: no'; exit 1" },
      says: /Validation failed: no/,
    },
    {
      name: "passes over a key",
      broken: { validate: "echo 'Warning: unused keys detected'; exit 0" },
      says: /unused keys/,
    },
    {
      name: "lets everything through",
      broken: { rule: "s=http://127.0.0.1:8000" },
      says: /load_lora_adapter to http:.*, not to 404/,
    },
    {
      name: "lets nothing through",
      broken: { rule: "s=http_status:404" },
      says: /\/health to http_status:404, not to http/,
    },
    { name: "prints something else", broken: { rule: "exit 1" }, says: /\/health to nothing, not to/ },
  ])("a program that $name is a problem", async ({ broken, says }) => {
    const opinion = await asked(gpu, onPath(broken));
    expect(opinion.kind === "asked" && opinion.problems.join("\n")).toMatch(says);
  });

  test("the real one, where it is installed; where it is not, check says that it has validated nothing", () => {
    const isInstalled = spawnSync("cloudflared", ["--version"]).status === 0;
    const checked = script(["check"]);
    expect([checked.status, checked.stderr]).toEqual([0, ""]);
    if (isInstalled) {
      expect(checked.stdout).toMatch(/gpu\.yml: ok: .* agrees on \d+ URLs/);
      expect(checked.stdout).not.toContain("has validated nothing");
    } else {
      expect(checked.stdout).toContain("cloudflared is not on the PATH: the real one has validated nothing.");
      process.stderr.write(
        "note: cloudflared is not on the PATH, so the real one has validated nothing in these tests\n",
      );
    }
  });
});

describe("the command line", () => {
  test("says what to do, for which catalog, where", () => {
    expect(parseCommand(["check", "--catalog", "c.json", "--dir", "d"])).toMatchObject({
      name: "check",
      catalog: "c.json",
      dir: "d",
    });
    expect(parseCommand(["--help"])).toBeNull();
  });

  test.each([
    { args: [], says: /render or check/ },
    { args: ["start"], says: /render or check/ },
    { args: ["render", "check"], says: /render or check/ },
    { args: ["render", "--id", "gpu"], says: /--id gpu is not of the form/ },
    { args: ["render", "--aud", "=x"], says: /--aud =x is not of the form/ },
    { args: ["render", "--nope"], says: /--nope/ },
  ])("$args is refused", ({ args, says }) => {
    expect(() => parseCommand(args)).toThrow(says);
  });

  test("a tunnel that the catalog does not have is refused", () => {
    expect(script(["render", "--id", "nope=1"])).toMatchObject({ status: 2, stderr: expect.stringContaining("nope") });
  });
});
