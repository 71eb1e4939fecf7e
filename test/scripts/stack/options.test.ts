// The command line of `npm start`: what each flag becomes, and what is refused with which words about which flag.
import { describe, expect, it } from "vitest";
import { DEFAULT_OPTIONS, parseOptions } from "#scripts/stack/options.ts";
import { Refusal } from "#scripts/stack/refusal.ts";

const DATABASE = "postgres://me:secret@db.example:5432/causeway";

describe("flags that are taken", () => {
  it.each([
    [[], {}],
    [["--port", "9000"], { port: 9000 }],
    [["--port=0"], { port: 0 }],
    [["--state", "/tmp/x"], { stateDir: "/tmp/x" }],
    [["--catalog", "mine.json"], { catalogFile: "mine.json" }],
    [["--no-lab"], { lab: false }],
    [["--database-url", DATABASE], { databaseUrl: DATABASE }],
    [
      ["--issuer", "https://id.example/o/causeway/", "--audience", "causeway"],
      { identity: { issuer: "https://id.example/o/causeway/", audience: "causeway" } },
    ],
  ])("%j", (args, change) => {
    expect(parseOptions(args)).toEqual({ ...DEFAULT_OPTIONS, ...change });
  });

  it("--help asks for no start", () => {
    expect(parseOptions(["--help", "--port", "1"])).toBeNull();
  });
});

describe("flags that are refused", () => {
  it.each([
    [["--prot", "1"], "--prot"],
    [["extra"], "extra"],
    [["--port", "1", "--port", "2"], "--port"],
    [["--no-lab", "--catalog", "a.json", "--no-lab"], "--no-lab"],
    [["--state=a", "--state=a"], "--state"],
    [["--port"], "--port"],
    [["--port", "70000"], "--port"],
    [["--port", "-1"], "--port"],
    [["--port", "80a"], "--port"],
    [["--port", ""], "--port"],
    [["--no-lab=yes"], "--no-lab"],
    [["--state", ""], "--state"],
    [["--catalog", " "], "--catalog"],
    [["--issuer", "https://id.example"], "--audience"],
    [["--audience", "a"], "--issuer"],
    [["--issuer", "id.example", "--audience", "a"], "--issuer"],
    [["--issuer", "ftp://id.example", "--audience", "a"], "--issuer"],
    [["--database-url", "mysql://a:b@c/d"], "--database-url"],
    [["--database-url", "postgres://db.example/causeway"], "--database-url"],
    [["--database-url", "postgres://me:secret@db.example"], "--database-url"],
  ])("%j", (args, named) => {
    const refusal = refusalOf(() => parseOptions(args));
    expect(refusal.exitCode).toBe(2);
    // One line: after a whole help text the reason would have scrolled away.
    expect(refusal.message.split("\n")).toEqual([expect.stringContaining(named)]);
  });

  it.each([[["--prot", "1"]], [["extra"]], [["--port"]], [["--port", "-1"]], [["--no-lab=yes"]]])(
    "%j: the last words are where all flags are told",
    (args) => {
      expect(refusalOf(() => parseOptions(args)).message).toMatch(/^[^.]+\. All flags: npm start -- --help$/);
    },
  );

  it("never repeats a database password", () => {
    expect(refusalOf(() => parseOptions(["--database-url", "postgres://me:hunter2@db"])).message).not.toContain(
      "hunter2",
    );
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
