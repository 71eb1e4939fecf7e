/**
 * A key that begins like a real one costs the door no more and no less than any other: what is looked up is its hash.
 * In Node, because the clock inside workerd moves by whole milliseconds.
 */
import { createHash, randomBytes } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import { type ApiKeyRecord, issueApiKey, isWellFormedKey, kvKeyOf } from "#src/auth/api-key.ts";

const SECRET = "s".repeat(43);
const LOOK_UPS = 20_000;
/** Look-ups of one kind in a row, before it is the other kind's turn: short against whatever the machine does meanwhile. */
const BATCH = 25;
const MAX_DIFFERENCE = 0.02;
const TRIES = 3;

/** What the isolate remembers, as the door has it. */
const records = new Map<string, ApiKeyRecord>();
let realBody: Buffer;

beforeAll(async () => {
  const grant = { owner: "n8n", tier: "default", scopes: ["inference" as const], label: "", expiresAtMs: 2e12 };
  for (let at = 0; at < 100; at++) {
    const { key, kvKey, record } = await issueApiKey(SECRET, grant, (bytes) => randomBytes(bytes));
    records.set(kvKey, record);
    realBody = Buffer.from(key.slice(3), "base64url").subarray(0, 32);
  }
});

/** A well-formed key of this body. */
function keyOf(body: Buffer): string {
  const checksum = createHash("sha256").update(body).digest().subarray(0, 4);
  return `cw_${Buffer.concat([body, checksum]).toString("base64url")}`;
}

/** Right in all but its last byte: 248 of 256 bits. */
function rightPrefix(): string {
  const body = Buffer.from(realBody);
  body[31] = ((body[31] ?? 0) + 1 + Math.floor(Math.random() * 255)) % 256;
  return keyOf(body);
}

async function lookUp(text: string): Promise<boolean> {
  return (await isWellFormedKey(text)) && records.has(await kvKeyOf(SECRET, text));
}

/** Microseconds of one look-up, by batches of one kind. */
async function batchUs(keys: readonly string[]): Promise<number> {
  const startedNs = process.hrtime.bigint();
  for (const key of keys) if (await lookUp(key)) throw new Error("it was found");
  return Number(process.hrtime.bigint() - startedNs) / 1_000 / keys.length;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** How far the medians of both kinds lie apart, in parts of one; the look-ups of both are interleaved. */
async function difference(): Promise<{ apart: number; rightUs: number; wrongUs: number }> {
  const batches = LOOK_UPS / BATCH;
  const made = (one: () => string) => Array.from({ length: batches }, () => Array.from({ length: BATCH }, one));
  const [right, wrong] = [made(rightPrefix), made(() => keyOf(randomBytes(32)))];
  const tookUs: { right: number[]; wrong: number[] } = { right: [], wrong: [] };
  for (let at = 0; at < batches; at++) {
    const turns = [
      async () => tookUs.right.push(await batchUs(right[at] ?? [])),
      async () => tookUs.wrong.push(await batchUs(wrong[at] ?? [])),
    ];
    // Who begins takes turns too: the first pays for what was left by others.
    for (const turn of at % 2 === 0 ? turns : turns.toReversed()) await turn();
  }
  const [rightUs, wrongUs] = [median(tookUs.right), median(tookUs.wrong)];
  return { apart: Math.abs(rightUs - wrongUs) / wrongUs, rightUs, wrongUs };
}

test("a right and a wrong beginning differ by less than 2 % in 20,000 interleaved look-ups of each", async () => {
  expect(await isWellFormedKey(rightPrefix())).toBe(true);
  expect(records.has(await kvKeyOf(SECRET, keyOf(realBody)))).toBe(true);
  const seen: number[] = [];
  while (seen.length < TRIES && !seen.some((apart) => apart < MAX_DIFFERENCE)) seen.push((await difference()).apart);
  expect(Math.min(...seen)).toBeLessThan(MAX_DIFFERENCE);
});
