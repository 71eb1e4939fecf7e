import { describe, expect, test } from "vitest";
import { doorsAnswer } from "#src/upstream/door.ts";

const LOGIN = "https://team.cloudflareaccess.com/cdn-cgi/access/login/gpu.example.com?kid=1";
const said = (status: number, body: string, headers: Record<string, string> = {}) =>
  doorsAnswer(status, new Headers(headers), body);
const BY_ACCESS = /^Cloudflare Access refused/;
const BY_REDIRECT = /^The host answered with a redirect/;
const BY_SOME_DOOR = /^A door before the engine/;

describe("the gateway is refused", () => {
  test.each<{ name: string; status: number; body?: string; headers?: Record<string, string>; message: RegExp }>([
    { name: "Access's login", status: 302, headers: { location: LOGIN }, message: BY_ACCESS },
    {
      name: "a login of the team's own domain",
      status: 302,
      headers: { location: "/cdn-cgi/access/login/x" },
      message: BY_ACCESS,
    },
    {
      name: "a redirect to anywhere",
      status: 302,
      headers: { location: "https://www.example.com/" },
      message: BY_REDIRECT,
    },
    { name: "a redirect to nowhere", status: 307, message: BY_REDIRECT },
    { name: "a redirect with a JSON body", status: 308, body: '{"error":{"message":"moved"}}', message: BY_REDIRECT },
    { name: "304", status: 304, message: BY_REDIRECT },
    { name: "Access's page", status: 403, body: "<title>Forbidden ・ Cloudflare Access</title>", message: BY_ACCESS },
    {
      name: "Access's challenge",
      status: 401,
      headers: { "www-authenticate": "Cloudflare-Access x" },
      message: BY_ACCESS,
    },
    { name: "Access's domain", status: 403, headers: { "cf-access-domain": "gpu.example.com" }, message: BY_ACCESS },
    { name: "cloudflared, without a word", status: 403, message: BY_SOME_DOOR },
    {
      name: "a proxy's page",
      status: 401,
      body: "<html><h1>401 Authorization Required</h1></html>",
      message: BY_SOME_DOOR,
    },
    {
      name: "the edge's firewall, in JSON",
      status: 403,
      body: '{"status":403,"error_code":1020}',
      message: BY_SOME_DOOR,
    },
    { name: "a login page with 200", status: 200, body: `<html><a href="${LOGIN}">`, message: BY_ACCESS },
    { name: "anybody's login page", status: 200, body: '\n<html><input type="password">', message: BY_SOME_DOOR },
    { name: "a page to sign in", status: 200, body: "<!doctype html><h1>Sign in</h1>", message: BY_SOME_DOOR },
  ])("$name", ({ status, body = "", headers, message }) => {
    const found = said(status, body, headers);
    expect(found?.kind).toBe("refused");
    expect(found?.kind === "refused" && found.message).toMatch(message);
  });
});

describe("the way is broken", () => {
  test.each<{ name: string; status: number; body?: string; cause: RegExp }>([
    {
      name: "a tunnel's page",
      status: 502,
      body: "<html>Bad gateway <span>Error code 502</span>",
      cause: /cannot reach the engine$/,
    },
    { name: "a tunnel's text", status: 502, body: "error code: 502", cause: /cannot reach the engine$/ },
    { name: "a proxy's 504", status: 504, body: "<html>", cause: /too slow/ },
    ...[520, 521, 522, 523, 524, 525, 526].map((status) => ({ name: String(status), status, cause: /^(the|)/ })),
    { name: "527, which was retired", status: 527, cause: /^the edge cannot reach the host$/ },
    { name: "no tunnel", status: 530, body: "error code: 1033", cause: /no tunnel.*\(Cloudflare error 1033\)$/ },
    { name: "no tunnel, as a page", status: 530, body: "<h1>Error 1033</h1>", cause: /1033\)$/ },
    { name: "no tunnel, in JSON", status: 530, body: '{"status":530,"error_code":1033}', cause: /1033\)$/ },
    { name: "no name", status: 530, body: "error code: 1016", cause: /1016\)$/ },
    { name: "a page that holds more than a number", status: 530, body: "error code: 1033<script>", cause: /1033\)$/ },
    {
      name: "a number that is none of the edge's",
      status: 530,
      body: "error code: 99999",
      cause: /^the edge has no tunnel to the host$/,
    },
  ])("$name", ({ status, body = "", cause }) => {
    const found = said(status, body);
    expect(found?.kind).toBe("broken");
    expect(found?.cause).toMatch(cause);
  });
});

test.each([
  { name: "vLLM's wrong key", status: 401, body: '{"error":"Unauthorized"}' },
  { name: "llama.cpp's wrong key", status: 401, body: '{"error":{"code":401,"type":"authentication_error"}}' },
  { name: "a cloud's refusal", status: 403, body: '{"error":{"message":"no","code":"forbidden"}}' },
  { name: "an engine's number that is not the edge's", status: 403, body: '{"error_code":42}' },
  { name: "an engine's own 502, in JSON", status: 502, body: '{"error":{"message":"no"}}' },
  { name: "an answer", status: 200, body: '{"choices":[]}' },
  {
    name: "an answer that speaks of signing in",
    status: 200,
    body: '{"text":"<b>sign in</b> at cloudflareaccess.com"}',
  },
  { name: "an event stream that speaks of it", status: 200, body: "data: <b>sign in</b>\n\n" },
  { name: "a page of something else", status: 200, body: "<html>It works!</html>" },
  { name: "nothing", status: 200, body: "" },
  { name: "a proxy's 503", status: 503, body: "<html>" },
  { name: "404", status: 404, body: "" },
])("the engine itself may have said it: $name", ({ status, body }) => {
  expect(said(status, body)).toBeNull();
});
