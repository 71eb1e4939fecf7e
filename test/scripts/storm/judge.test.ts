// The judge: each thing that must hold is found broken when it is, and only it.
import { describe, expect, test } from "vitest";
import type { Sent } from "#scripts/storm/caller.ts";
import { type Facts, judge } from "#scripts/storm/judge.ts";
import type { Generation, Ledger, Row } from "#scripts/storm/records.ts";

const sums = { requests: 0, promptTokens: 0, completionTokens: 0, costMicros: 0 };
const ledger = (rows: readonly Row[], more: Partial<Ledger> = {}): Ledger => ({
  rows,
  rowSums: sums,
  minuteSums: sums,
  deadLetters: [],
  ...more,
});
const row = (question: number, more: Partial<Row> = {}): Row => ({
  id: `id-${question}`,
  question,
  outcome: "complete",
  host: "gpu",
  hosts: ["gpu"],
  promptTokens: 5,
  completionTokens: 7,
  wastedTokens: 0,
  estimated: false,
  ...more,
});
const made = (question: number, more: Partial<Generation> = {}): Generation => ({
  requestId: `id-${question}`,
  host: "gpu",
  promptTokens: 5,
  completionTokens: 7,
  ended: "stop",
  ...more,
});
const sent = (number: number, more: Partial<Sent> = {}): Sent => ({
  question: {
    number,
    caller: "basic",
    path: "/v1/chat/completions",
    body: {},
    stream: true,
    leavesAfterMs: null,
  },
  status: 200,
  end: "whole",
  ...more,
});

const QUIET: Facts = {
  sent: [sent(1), sent(2, { status: null, end: "lost" }), sent(3, { status: 502, end: "broken" })],
  ledger: ledger([row(1), row(3, { outcome: "upstream_error", host: null, promptTokens: 0, completionTokens: 0 })]),
  truth: [made(1)],
  accounts: { openLeases: 0, unacknowledged: 0 },
  poison: [],
};

const brokenOf = (facts: Facts): string[] =>
  judge(facts)
    .filter(({ holds }) => holds === false)
    .map(({ what }) => what);

test("a storm after which all is right", () => {
  expect(brokenOf(QUIET)).toEqual([]);
});

describe("what is wrong is found", () => {
  const cases: { name: string; facts: Partial<Facts>; broken: RegExp }[] = [
    { name: "an answered request without a row", facts: { sent: [...QUIET.sent, sent(4)] }, broken: /\(lost\)/ },
    {
      name: "one that was cut off after its first byte, without a row",
      facts: { sent: [...QUIET.sent, sent(4, { end: "lost" })] },
      broken: /\(lost\)/,
    },
    {
      name: "two rows for one request",
      facts: { ledger: ledger([...QUIET.ledger.rows, row(1, { id: "id-other", outcome: "abandoned" })]) },
      broken: /\(doubled\)/,
    },
    {
      name: "more completion tokens than were made",
      facts: { ledger: ledger([row(1, { completionTokens: 8 })]) },
      broken: /ran to their end/,
    },
    {
      name: "fewer prompt tokens than were read",
      facts: { ledger: ledger([row(1, { promptTokens: 4 })]) },
      broken: /ran to their end/,
    },
    {
      name: "errors that cancel out",
      facts: {
        ledger: ledger([row(1, { completionTokens: 8 }), row(2, { completionTokens: 6 })]),
        truth: [made(1), made(2)],
      },
      broken: /ran to their end/,
    },
    {
      name: "a stream that its host cut, miscounted",
      facts: {
        ledger: ledger([row(1, { outcome: "upstream_error", completionTokens: 6 })]),
        truth: [made(1, { ended: "fault" })],
      },
      broken: /their host cut/,
    },
    {
      name: "tokens although no host worked",
      facts: { ledger: ledger([row(1), row(3, { outcome: "rejected", host: null, completionTokens: 0 })]) },
      broken: /no host worked/,
    },
    {
      name: "more than was made for a caller who left",
      facts: {
        ledger: ledger([row(1, { outcome: "client_left", completionTokens: 8 })]),
        truth: [made(1, { ended: "aborted" })],
      },
      broken: /more in the ledger/,
    },
    { name: "a message that is nowhere", facts: { poison: ["p1"] }, broken: /dead letters/ },
    {
      name: "a dead letter that is no poison",
      facts: { poison: ["p1"], ledger: ledger(QUIET.ledger.rows, { deadLetters: ["id-9"] }) },
      broken: /dead letters/,
    },
    { name: "an open lease", facts: { accounts: { openLeases: 1, unacknowledged: 0 } }, broken: /open leases/ },
    { name: "an event kept", facts: { accounts: { openLeases: 0, unacknowledged: 1 } }, broken: /outbox/ },
    ...(["requests", "promptTokens", "completionTokens", "costMicros"] as const).map((name) => ({
      name: `minutes whose ${name} are not the rows'`,
      facts: { ledger: ledger(QUIET.ledger.rows, { minuteSums: { ...sums, [name]: 1 } }) },
      broken: /minutes/,
    })),
  ];
  test.each(cases)("$name", ({ facts, broken }) => {
    expect(brokenOf({ ...QUIET, sent: facts.ledger === undefined ? QUIET.sent : [sent(1)], ...facts })).toEqual([
      expect.stringMatching(broken),
    ]);
  });
});

describe("what may differ", () => {
  const cases: { name: string; rows: Row[]; truth: Generation[] }[] = [
    {
      name: "a caller who left before the host was hung up on",
      rows: [row(1, { outcome: "client_left", completionTokens: 5 })],
      truth: [made(1, { ended: "aborted" })],
    },
    {
      name: "an estimate for a caller who left before a host had spoken",
      rows: [row(1, { outcome: "client_left", completionTokens: 0, promptTokens: 9, estimated: true })],
      truth: [made(1, { ended: "aborted", completionTokens: 0 })],
    },
    {
      name: "what was reserved for a request in flight at a kill",
      rows: [row(1, { outcome: "abandoned", host: null, completionTokens: 1_024 })],
      truth: [made(1, { ended: "aborted", completionTokens: 3 })],
    },
    {
      name: "an answer that another host carried on, with a token made twice at the seam",
      rows: [row(1, { host: "jetson", hosts: ["gpu", "jetson"], wastedTokens: 1 })],
      truth: [
        made(1, { completionTokens: 3, ended: "fault" }),
        made(1, { host: "jetson", promptTokens: 8, completionTokens: 5 }),
      ],
    },
    {
      name: "one that its caller left before all of it was read",
      rows: [
        row(1, {
          host: "jetson",
          hosts: ["gpu", "jetson"],
          outcome: "client_left",
          completionTokens: 8,
          wastedTokens: 2,
        }),
      ],
      truth: [
        made(1, { completionTokens: 3, ended: "fault" }),
        made(1, { host: "jetson", promptTokens: 8, completionTokens: 5, ended: "aborted" }),
      ],
    },
    {
      name: "a generation that came to nothing before another host's answer",
      rows: [row(1, { host: "jetson" })],
      truth: [made(1, { completionTokens: 2, ended: "aborted" }), made(1, { host: "jetson" })],
    },
  ];
  test.each(cases)("$name", ({ rows, truth }) => {
    expect(brokenOf({ ...QUIET, sent: [sent(1)], ledger: ledger(rows), truth })).toEqual([]);
  });
});
