import { expect, test } from "vitest";
import { hmac } from "#src/hmac.ts";

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

test("is HMAC-SHA-256 under the purpose and the secret, also the second time", async () => {
  const key = await crypto.subtle.importKey(
    "raw",
    new TextEncoder().encode("cache:a secret"),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  const expected = hex(new Uint8Array(await crypto.subtle.sign("HMAC", key, new TextEncoder().encode("é"))));
  expect(hex(await hmac("a secret", "cache", "é"))).toBe(expected);
  expect(hex(await hmac("a secret", "cache", "é"))).toBe(expected);
});

test("another purpose, secret or text is another hash", async () => {
  const hashes = [
    await hmac("a", "cache", "t"),
    await hmac("b", "cache", "t"),
    await hmac("a", "api-key", "t"),
    await hmac("a", "cache", "u"),
  ].map(hex);
  expect(new Set(hashes).size).toBe(4);
});
