// What a person reads of a run: tables, the picture, the section of BENCH.md, the line on the way.
import { describe, expect, test } from "vitest";
import { judged } from "#scripts/bench/goals.ts";
import { filesystemOf } from "#scripts/bench/machine.ts";
import { pictureOf } from "#scripts/bench/picture.ts";
import { progressShown } from "#scripts/bench/progress.ts";
import type { BenchRun } from "#scripts/bench/run.ts";
import { scenariosOf } from "#scripts/bench/scenarios.ts";
import { BEGIN, END, sectionOf, withSection } from "#scripts/bench/section.ts";
import { asMarkdown, asText, goalsTable, plain, tableOf } from "#scripts/bench/table.ts";
import { measured } from "./seen.ts";

const request = (us: number) => ({ requests: 100, cpuUs: us * 100 });
const latency = (us: number) => ({ latencyUs: { p50: us, p99: us * 2 } });
const JSON_64 = [
  ...measured("json-64", "direct", [latency(1_000), latency(1_200), latency(1_100)]),
  ...measured(
    "json-64",
    "nginx",
    [request(10), request(12), request(11)].map((one) => ({ ...one, ...latency(900) })),
  ),
  ...measured(
    "json-64",
    "bare",
    [100, 110, 120].map((us) => ({ ...request(us), ...latency(2_000), bytes: 80e6 })),
  ),
  ...measured(
    "json-64",
    "causeway",
    [1_200, 1_375, 1_440].map((us) => ({ ...request(us), ...latency(31_500) })),
  ),
  ...measured("json-64", "litellm", [
    request(9_000),
    { ...request(9_350), failed: 2, failure: '500 {"a|b":\n  <i>1</i>}' },
    { requests: 0 },
  ]),
];
const STREAMS = [
  ...measured("streams", "bare", [
    {
      ...latency(1_000),
      events: 1_000,
      cpuUs: 25_000,
      delayUs: { p50: 110, p99: 900 },
      jitterUs: { p50: 40, p99: 2_000 },
      streams: 8,
      stallFree: 7,
    },
  ]),
];
const RUN: BenchRun = {
  startedAt: "2026-12-01T09:30Z",
  command: "npm run bench -- --rounds 3 --write",
  machine: { cores: 2, cpu: "Some CPU", kernel: "Linux 6.1", disk: "ext4", node: "24.1.0", workerd: "1.2" },
  isPinned: true,
  rounds: 3,
  scenarios: scenariosOf(["json-64", "streams"], false),
  entrants: [
    { name: "bare workerd", what: "workerd 1.2, five lines" },
    { name: "Bifrost", absent: "bifrost@1 cannot be fetched: GET https://registry.local/secret: 404" },
  ],
  measured: [...JSON_64, ...STREAMS],
};
const [JSON_SCENARIO, STREAM_SCENARIO] = RUN.scenarios;
if (JSON_SCENARIO === undefined || STREAM_SCENARIO === undefined) throw new Error("two scenarios");

describe("a scenario's table", () => {
  test("of JSON: cost, times of B, what is added to the engine's own, memory, failures", () => {
    expect(asText(tableOf(RUN.measured, JSON_SCENARIO))).toBe(
      `
json-64: JSON, 64 connections, saturated
                CPU µs/request               x B  answer p50  answer p99  resident  failed
  direct                     –                 –     1.10 ms     2.20 ms         –       0
  nginx                   11.0  0.10 [0.09–0.11]    −0.20 ms    −0.40 ms         –       0
  bare workerd             110                 1    +0.90 ms    +1.80 ms     80 MB       0
  Causeway               1,375  12.0 [12.0–12.5]   +30.40 ms   +60.80 ms         –       0
  LiteLLM                9,000  85.0 [85.0–90.0]           –           –         –       2
  LiteLLM: 2 failed, the first with: 500 {"a|b": <i>1</i>}
  LiteLLM: nothing came back in 1 of the windows`.trim(),
    );
  });

  test("of streams: delay, jitter and stalls too; a column that nobody fills is not there", () => {
    expect(tableOf(RUN.measured, STREAM_SCENARIO)).toEqual({
      title: "streams: 20 streams, a token every 5 ms",
      header: [
        "",
        "CPU µs/event",
        "x B",
        "event delay p50",
        "event delay p99",
        "jitter p50",
        "jitter p99",
        "stall-free",
        "failed",
      ],
      rows: [["bare workerd", "25.0", "1", "0.11 ms", "0.90 ms", "0.04 ms", "2.00 ms", "87.5 %", "0"]],
      notes: [],
    });
  });

  test("of many streams: what one takes of memory", () => {
    const [slow] = scenariosOf(["slow-1000"], false);
    if (slow === undefined) throw new Error("one scenario");
    const { header, rows } = tableOf(
      measured("slow-1000", "bare", [{ events: 1, cpuUs: 1, bytes: 150e6, bytesBefore: 100e6 }]),
      slow,
    );
    expect(rows[0]?.[header.indexOf("KB/stream")]).toBe("50");
  });

  test("says in what bare workerd is no measure", () => {
    const parts = [request(100), request(131), request(100)].map((one, at) => ({
      ...one,
      ...latency(1_000 + at * 100),
    }));
    expect(tableOf(measured("json-64", "bare", parts), JSON_SCENARIO).notes).toEqual([
      "Too noisy for a verdict (more than 25 %): bare workerd itself varied in CPU by 31 %.",
    ]);
    const late = parts.map((one, at) => ({ ...one, ...latency(1_000 + at * 500) }));
    expect(tableOf(measured("json-64", "bare", late), JSON_SCENARIO).notes).toEqual([
      "Too noisy for a verdict (more than 25 %): bare workerd itself varied in CPU by 31 %, answer by 67 %.",
    ]);
  });
});

test("goals: limits, figure and verdict; what was not measured is named", () => {
  const { rows, notes } = goalsTable(judged(RUN.measured));
  expect(rows).toContainEqual([
    "CPU per request, everything on, 1 caller",
    "≤ 3.5 x B",
    "≤ 2.6 x B",
    "12.0 [12.0–12.5] x B",
    "MISSED",
  ]);
  expect(rows.map(([what]) => what)).not.toContain("memory per stream");
  expect(notes).toEqual([expect.stringContaining("memory per stream")]);
});

describe("the picture", () => {
  const picture = pictureOf(RUN);
  test("is well-formed", () => {
    const open: string[] = [];
    for (const [, slash, name = "", rest = ""] of picture.matchAll(/<(\/?)([a-z]+)([^<>]*)>/g)) {
      if (slash === "/") expect(open.pop()).toBe(name);
      else if (!rest.endsWith("/")) open.push(name);
    }
    expect(open).toEqual([]);
    expect(picture).not.toMatch(/NaN|undefined|Infinity/);
    expect(picture).toContain("prefers-color-scheme: dark");
  });

  test("has the table's figures, and the marks", () => {
    const times = (contestant: string): string =>
      tableOf(RUN.measured, JSON_SCENARIO).rows.find(([name]) => name === contestant)?.[2] ?? "not in the table";
    for (const contestant of ["nginx", "bare workerd", "Causeway", "LiteLLM"]) {
      expect(picture).toContain(`>${contestant}<`);
      // One that is cut off says so before its figure.
      const label = contestant === "LiteLLM" ? `… ${times(contestant)}` : times(contestant);
      expect(picture).toContain(`>${label}<`);
    }
    for (const mark of ["must 3.5", "aim 2.6", "must 2.8", "aim 1.6"]) expect(picture).toContain(`>${mark}<`);
    // It costs no CPU of its own.
    expect(picture).not.toContain(">direct<");
  });

  test("bars are as long as their figures, but one that is much longer is cut off", () => {
    const panel = picture.slice(0, picture.indexOf("20 streams"));
    const [nginx = 0, bare = 0, causeway = 0, litellm = 0] = [
      ...panel.matchAll(/<rect class="bar[^>]* width="([\d.]+)"/g),
    ].map(([, width]) => Number(width));
    expect(nginx / bare).toBeCloseTo(0.1, 1);
    expect(causeway / bare).toBeCloseTo(12, 0);
    expect(litellm / causeway).toBeLessThan(1.5);
    expect(panel).toContain(">… 85.0");
  });

  test("of a run without either scenario nothing is drawn", () => {
    expect(pictureOf({ measured: [], startedAt: "now" })).toContain('height="0"');
  });
});

describe("the section of BENCH.md", () => {
  const section = sectionOf(RUN, "docs/bench.svg");
  test.each([
    "2026-12-01T09:30Z",
    "    npm run bench -- --rounds 3 --write",
    "2 cores of Some CPU (engine and load held to one core, contestants to another), Linux 6.1, Node 24.1.0, workerd 1.2, the objects' storage on ext4",
    "- bare workerd: workerd 1.2, five lines",
    "- Bifrost is not in it: bifrost@1 cannot be fetched",
    "(docs/bench.svg)",
    "| Causeway | 1,375 | 12.0 \\[12.0–12.5\\] | +30.40 ms | +60.80 ms | – | 0 |",
    "| MISSED |",
    "small stand-ins of our own",
    'the first with: 500 {"a\\|b": \\<i\\>1\\</i\\>}',
  ])("has: %s", (text) => {
    expect(section).toContain(text);
  });

  test("has none of an installer's own words", () => {
    expect(section).not.toContain("registry.local");
  });

  test("of every table each line has as many cells", () => {
    const { header, rows } = tableOf(RUN.measured, JSON_SCENARIO);
    const lines = asMarkdown(tableOf(RUN.measured, JSON_SCENARIO))
      .split("\n")
      .filter((line) => line.startsWith("|"));
    expect(lines).toHaveLength(rows.length + 2);
    for (const line of lines) expect(line.split(/(?<!\\)\|/).length - 2).toBe(header.length);
  });

  test.each([
    { name: "no file", text: null, is: `# How fast\n\n${BEGIN}\n\nnew\n\n${END}\n` },
    { name: "no marks", text: "# Ours\n\nwords\n", is: `# Ours\n\nwords\n\n${BEGIN}\n\nnew\n\n${END}\n` },
    {
      name: "an older section, and words around it",
      text: `# Ours\n\n${BEGIN}\nold $& \n${END}\n\nmore\n`,
      is: `# Ours\n\n${BEGIN}\n\nnew\n\n${END}\n\nmore\n`,
    },
  ])("into $name", ({ text, is }) => {
    expect(withSection(text, "new")).toBe(is);
    expect(withSection(is, "new")).toBe(is);
  });

  test.each([
    { name: "no end", text: `${BEGIN}\nold` },
    { name: "no beginning", text: `old\n${END}` },
    { name: "the end first", text: `${END}\n${BEGIN}` },
    { name: "two of them", text: `${BEGIN}${END}${BEGIN}${END}` },
  ])("with $name it is refused", ({ text }) => {
    expect(() => withSection(text, "new")).toThrow(expect.objectContaining({ exitCode: 1 }));
  });
});

test("anybody's text means nothing to Markdown", () => {
  expect(plain("a|b `c`\n<d> [e](f) *g*")).toBe("a\\|b \\`c\\` \\<d\\> \\[e\\](f) \\*g\\*");
});

describe("what the storage lies on", () => {
  const MOUNTS = [
    "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw",
    "23 22 0:5 / /tmp rw - tmpfs tmpfs rw",
    "24 22 0:6 / /data rw - xfs /dev/vdb rw",
    "25 24 0:7 / /data rw - btrfs /dev/vdc rw",
    "",
  ].join("\n");
  test.each([
    { path: "/home/bench", is: "ext4" },
    { path: "/tmp/bench", is: "tmpfs" },
    { path: "/tmp", is: "tmpfs" },
    { path: "/tmpfiles", is: "ext4" },
    { path: "/data/x", is: "btrfs" },
  ])("$path: $is", ({ path, is }) => {
    expect(filesystemOf(path, MOUNTS)).toBe(is);
  });
  test("is unknown where nothing is said", () => expect(filesystemOf("/x", "")).toBe("unknown"));
});

describe("the line on the way", () => {
  const written = (isTTY: boolean): string => {
    let text = "";
    const write = (part: string | Uint8Array): boolean => {
      text += String(part);
      return true;
    };
    const { print, progress, end } = progressShown({ isTTY, columns: 12, write });
    progress("json-64  round 1");
    print("nginx: gone");
    progress("second");
    end();
    return text;
  };
  test("is written over in a terminal, and never longer than it", () => {
    const clear = "\r\x1b[2K";
    expect(written(true)).toBe(`${clear}json-64  ro${clear}nginx: gone\n${clear}second${clear}`);
  });
  test("is a line of its own elsewhere", () => {
    expect(written(false)).toBe("json-64  round 1\nnginx: gone\nsecond\n");
  });
});
