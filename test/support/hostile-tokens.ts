/**
 * Hostile credentials by class: each one is a good token in everything but the one thing that its name says, and is
 * really signed wherever a signature is possible. Knows nothing of the gateway, so the same list serves in process and
 * over HTTP.
 */
import { base64url, exportSPKI, importJWK } from "jose";
import type { SigningKey } from "./issuer.ts";

export type HostileCredential = {
  readonly group: string;
  readonly name: string;
  /** What is sent; a name may come twice. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Put behind the URL. */
  readonly query: string;
  /** False where servers refuse the request before any gateway sees it. */
  readonly fitsHttp: boolean;
};

export type Target = {
  readonly issuer: string;
  readonly audience: string;
  readonly nowS: number;
  /** A key that the issuer has. */
  readonly key: SigningKey;
  /** Another one that the issuer has, of another algorithm. */
  readonly otherKey: SigningKey;
  /** Of the same algorithm and name, at another issuer that the gateway trusts too, with its own audience. */
  readonly tenant: { readonly issuer: string; readonly audience: string; readonly key: SigningKey };
  /** Of the same algorithm, at nobody the gateway trusts; its name is the good key's. */
  readonly attackerKey: SigningKey;
  /** In the issuer's set under names of their own, but of no use: two of one name, one for encryption, one private. */
  readonly unusable: Readonly<Record<"twice" | "enc" | "private", SigningKey>>;
};

type Json = Record<string, unknown>;
type Part = Json | string | Uint8Array;

const utf8 = new TextEncoder();
/** No HTTP server takes headers of more than about 16 KB. */
const MAX_HTTP_HEADER = 15_000;

const SIGNING: Record<string, SubtleCryptoSignAlgorithm> = {
  RS256: { name: "RSASSA-PKCS1-v1_5" },
  ES256: { name: "ECDSA", hash: "SHA-256" },
  EdDSA: { name: "Ed25519" },
};

function encoded(part: Part): string {
  if (part instanceof Uint8Array) return base64url.encode(part);
  return base64url.encode(utf8.encode(typeof part === "string" ? part : JSON.stringify(part)));
}

async function signatureOf(input: string, key: SigningKey): Promise<Uint8Array> {
  const algorithm = SIGNING[key.alg];
  if (algorithm === undefined) throw new Error(`no way to sign with ${key.alg}`);
  return new Uint8Array(await crypto.subtle.sign(algorithm, key.privateKey, utf8.encode(input)));
}

async function jws(header: Part, payload: Part, key: SigningKey): Promise<string> {
  const input = `${encoded(header)}.${encoded(payload)}`;
  return `${input}.${base64url.encode(await signatureOf(input, key))}`;
}

async function hmacJws(header: Json, payload: Part, secret: Uint8Array, bits: string): Promise<string> {
  const algorithm = { name: "HMAC", hash: `SHA-${bits}` };
  const key = await crypto.subtle.importKey("raw", Uint8Array.from(secret), algorithm, false, ["sign"]);
  const input = `${encoded(header)}.${encoded(payload)}`;
  return `${input}.${base64url.encode(new Uint8Array(await crypto.subtle.sign("HMAC", key, utf8.encode(input))))}`;
}

/** The same bytes, written with other low bits in the last character; null where there are none to spare. */
function malleated(part: string): string | null {
  const spare = part.length % 4 === 2 ? 0x0f : part.length % 4 === 3 ? 0x03 : 0;
  if (spare === 0) return null;
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const last = alphabet.indexOf(part.at(-1) ?? "");
  return part.slice(0, -1) + alphabet[last ^ 1];
}

/** For a class's name: short, and told apart by its length. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length <= 32 ? text : `${text.slice(0, 8)}… of ${text.length}`;
}

/** Every hostile credential for one key of the issuer. */
export async function hostileCredentials(target: Target): Promise<HostileCredential[]> {
  const { issuer, audience, nowS, key, otherKey, tenant, attackerKey, unusable } = target;
  const header: Json = { alg: key.alg, kid: key.kid, typ: "at+jwt" };
  const claims: Json = {
    iss: issuer,
    aud: audience,
    sub: "admin",
    groups: ["ai-admins"],
    tier: "enterprise",
    iat: nowS,
    exp: nowS + 600,
  };
  const good = await jws(header, claims, key);
  const [goodHeader = "", goodClaims = "", goodSignature = ""] = good.split(".");
  const input = `${goodHeader}.${goodClaims}`;
  const signature = base64url.decode(goodSignature);

  const found: HostileCredential[] = [];
  const send = (group: string, name: string, headers: HostileCredential["headers"], query = ""): void => {
    const fitsHttp = headers.every(([, value]) => value.length < MAX_HTTP_HEADER) && query.length < MAX_HTTP_HEADER;
    found.push({ group, name, headers, query, fitsHttp });
  };
  const token = (group: string, name: string, text: string): void =>
    send(group, name, [["authorization", `Bearer ${text}`]]);
  /** Really signed, with header members or claims changed; undefined leaves one out. */
  const signed = async (group: string, name: string, head: Json, body: Json = {}, by = key): Promise<void> =>
    token(group, name, await jws({ ...header, ...head }, { ...claims, ...body }, by));
  const signedText = async (group: string, name: string, head: Part, body: Part): Promise<void> =>
    token(group, name, await jws(head, body, key));
  const headerText = JSON.stringify(header);
  const claimsText = JSON.stringify(claims);
  const withSignature = (name: string, bytes: Uint8Array): void =>
    token("signature", name, `${input}.${base64url.encode(bytes)}`);

  // alg
  for (const alg of ["none", "None", "nOnE", "NONE", "", null, undefined, 7, [key.alg], {}, key.alg.toLowerCase()])
    await signed("alg", `alg ${JSON.stringify(alg)} over a real signature`, { alg });
  for (const alg of ["none", "None", "NONE"])
    token("alg", `alg ${alg} with a signature of one byte`, `${encoded({ ...header, alg })}.${goodClaims}.AA`);
  for (const alg of ["PS256", "RS384", "RS512", "ES384", "ES512", "ES256K", "Ed25519", "Ed448", otherKey.alg])
    await signed("alg", `alg ${alg} over a signature of ${key.alg}`, { alg });
  await signed("alg", `alg ${otherKey.alg}, naming the key of that`, { alg: otherKey.alg, kid: otherKey.kid });
  await signed("alg", "signed with another of the issuer's keys", {}, {}, { ...otherKey });
  const imported = await importJWK(key.publicJwk, key.alg, { extractable: true });
  if (imported instanceof Uint8Array) throw new Error("the issuer's key is not a public one");
  const pem = await exportSPKI(imported);
  const der = new Uint8Array((await crypto.subtle.exportKey("spki", imported)) as ArrayBuffer);
  const secrets: Record<string, Uint8Array> = {
    PEM: utf8.encode(pem),
    "PEM with a line break at the end": utf8.encode(`${pem.trimEnd()}\n`),
    "PEM with CRLF": utf8.encode(pem.replaceAll("\n", "\r\n")),
    "PEM in one line": utf8.encode(pem.replaceAll("\n", "")),
    DER: der,
    "the JWK's text": utf8.encode(JSON.stringify(key.publicJwk)),
    "the modulus or point": base64url.decode(key.publicJwk.n ?? key.publicJwk.x ?? ""),
    "a zero byte": new Uint8Array(1),
  };
  for (const [name, secret] of Object.entries(secrets))
    token("alg", `HS256 keyed with ${name}`, await hmacJws({ ...header, alg: "HS256" }, claims, secret, "256"));
  for (const bits of ["384", "512"])
    token(
      "alg",
      `HS${bits} keyed with PEM`,
      await hmacJws({ ...header, alg: `HS${bits}` }, claims, utf8.encode(pem), bits),
    );
  token("alg", `HMAC under the name of ${key.alg}`, await hmacJws(header, claims, utf8.encode(pem), "256"));

  // signature
  withSignature("all zero (CVE-2022-21449)", new Uint8Array(signature.length));
  withSignature("all ones", new Uint8Array(signature.length).fill(0xff));
  const order = base64url.decode("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE");
  withSignature("r and s are the order of the group", new Uint8Array([...order, ...order]));
  withSignature("r and s are 1", new Uint8Array([...new Uint8Array(31), 1, ...new Uint8Array(31), 1]));
  const half = signature.length / 2;
  const integers = [signature.slice(0, half), signature.slice(half)].flatMap((part) => [2, half + 1, 0, ...part]);
  withSignature("DER instead of raw", new Uint8Array([0x30, integers.length, ...integers]));
  withSignature("a byte less", signature.slice(0, -1));
  withSignature("a byte more", new Uint8Array([...signature, 0]));
  withSignature("a byte before", new Uint8Array([0, ...signature]));
  withSignature("one byte", new Uint8Array(1));
  withSignature("half", signature.slice(0, half));
  withSignature("twice", new Uint8Array([...signature, ...signature]));
  withSignature("the first bit turned", signature.with(0, (signature[0] ?? 0) ^ 0x80));
  withSignature("the last bit turned", signature.with(-1, (signature.at(-1) ?? 0) ^ 1));
  withSignature("of another token", await signatureOf(`${goodHeader}.${encoded({ ...claims, sub: "x" })}`, key));
  withSignature("of the claims alone", await signatureOf(goodClaims, key));
  withSignature("of the decoded text", await signatureOf(`${headerText}.${claimsText}`, key));
  withSignature("a hash of the input", new Uint8Array(await crypto.subtle.digest("SHA-512", utf8.encode(input))));
  token(
    "signature",
    "claims changed under it",
    `${goodHeader}.${encoded({ ...claims, sub: "root" })}.${goodSignature}`,
  );
  token("signature", "header changed under it", `${encoded({ ...header, x: 1 })}.${goodClaims}.${goodSignature}`);

  // structure
  const flattened = { protected: goodHeader, payload: goodClaims, signature: goodSignature };
  const general = { payload: goodClaims, signatures: [{ protected: goodHeader, signature: goodSignature }] };
  const jwe = (alg: string, extra: Json = {}): string =>
    [encoded({ alg, enc: "A256GCM", kid: key.kid, ...extra }), "", "AAAAAAAAAAAAAAAA", goodClaims, "AA"].join(".");
  for (const [name, text] of [
    ["no third part", input],
    ["an empty third part", `${input}.`],
    ["one part", goodClaims],
    ["four parts", `${good}.${goodSignature}`],
    ["five parts", `${good}.${goodSignature}.${goodSignature}`],
    ["six parts", `${good}.${good}`],
    ["nothing but dots", ".."],
    ["an empty header", `.${goodClaims}.${goodSignature}`],
    ["empty claims", `${goodHeader}..${goodSignature}`],
    ["a dot before", `.${good}`],
    ["JSON, flattened", JSON.stringify(flattened)],
    ["JSON, general", JSON.stringify(general)],
    ["JSON, flattened, encoded", encoded(flattened)],
    ["JSON, general, encoded", encoded(general)],
    ["detached claims (RFC 7515, F)", `${goodHeader}..${goodSignature}`],
    ["JWE dir", jwe("dir")],
    ["JWE RSA-OAEP", jwe("RSA-OAEP")],
    ["JWE PBES2 with 2^31 rounds", jwe("PBES2-HS256+A128KW", { p2c: 2 ** 31, p2s: "AAAAAAAAAAA" })],
    ["parts in another order", `${goodClaims}.${goodHeader}.${goodSignature}`],
    ["unsigned SAML", encoded("<saml:Assertion/>")],
  ] as const)
    token("structure", name, text);
  await signedText("structure", "a token within a token", { ...header, cty: "JWT" }, good);
  await signedText("structure", "a token within a token, not said", header, good);
  await signedText("structure", "compressed claims", { ...header, zip: "DEF" }, new Uint8Array([0x4b, 0x4c, 0x04]));
  await signedText("structure", "zip over plain claims", { ...header, zip: "DEF" }, claims);
  for (const text of ["[]", "null", '"text"', "7", "true", "{}", " ", "{", "[{}]", `${claimsText}x`, `[${claimsText}]`])
    await signedText("structure", `claims ${text.slice(0, 8)}`, header, text);
  for (const text of ["[]", "null", '"text"', "7", "{}", "{", `${headerText}x`, `[${headerText}]`])
    await signedText("structure", `header ${text.slice(0, 8)}`, text, claims);

  // kid
  const names = ["", "unknown", "k".repeat(129), "k".repeat(5_000), "../../dev/null", "' OR 1=1--", "|whoami", "$(id)"];
  const objects = [
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    {},
    { length: 1 },
    [key.kid],
    7,
    null,
    true,
  ];
  for (const kid of [undefined, ...names, ...objects, `${key.kid} `, `${key.kid}\0`, `${key.kid}\n`, `${key.kid}/.`])
    await signed("kid", `kid ${shown(kid)}`, { kid });
  await signed("kid", "of another letter case", { kid: key.kid.toUpperCase() });
  await signed("kid", "a key that the set has twice", { kid: unusable.twice.kid }, {}, unusable.twice);
  await signed("kid", "a key for encryption", { kid: unusable.enc.kid }, {}, unusable.enc);
  await signed("kid", "a key whose private half is published", { kid: unusable.private.kid }, {}, unusable.private);

  // key pointers
  const pointers: Json = {
    jku: "https://evil.example.test/jwks",
    x5u: "https://evil.example.test/x5u",
    jwk: attackerKey.publicJwk,
    x5c: ["MIIB"],
  };
  for (const [name, value] of Object.entries(pointers)) {
    await signed("key pointers", `${name}, signed by the attacker`, { [name]: value }, {}, attackerKey);
    await signed("key pointers", `${name} beside a real signature`, { [name]: value });
    await signed("key pointers", `${name} instead of a kid`, { [name]: value, kid: undefined }, {}, attackerKey);
  }
  await signed("key pointers", "jwk: a symmetric key", { jwk: { kty: "oct", k: "AA" }, alg: "HS256" });
  await signed("key pointers", "jwk: the issuer's own", { jwk: key.publicJwk });
  await signed("key pointers", "jku: the issuer's own", { jku: `${issuer}jwks/` });

  // header
  for (const crit of [["x"], [], ["exp"], ["exp", "exp"], ["alg"], "exp", null, {}])
    await signed("header", `crit ${JSON.stringify(crit)}`, { crit, x: 1, exp: 1 });
  await signed("header", "b64 false, as crit says", { b64: false, crit: ["b64"] });
  await signed("header", "b64 true", { b64: true });
  await signedText("header", "b64 false over plain claims", { ...header, b64: false, crit: ["b64"] }, claims);
  const inHeader = (text: string): string => `{${text},${headerText.slice(1)}`;
  await signedText("header", "alg twice", inHeader('"alg":"none"'), claims);
  await signedText("header", "kid twice", inHeader('"kid":"x"'), claims);
  await signedText("header", "alg twice, once escaped", inHeader('"\\u0061lg":"none"'), claims);
  await signed("header", "more than 1 KB", { filler: "f".repeat(1_100) });
  await signedText("header", "a byte order mark", `\ufeff${headerText}`, claims);
  await signedText("header", "invalid UTF-8", new Uint8Array([...utf8.encode(inHeader('"x":"')), 0xff]), claims);
  await signedText("header", "nested as deep as fits, never closed", `{"x":${"[".repeat(900)}`, claims);
  await signedText("header", "a comment", `/**/${headerText}x`, claims);

  // time
  const times: Record<string, Json> = {
    "exp long ago": { iat: nowS - 7_200, exp: nowS - 3_600 },
    "exp just beyond the tolerance": { exp: nowS - 31 },
    "exp as text": { exp: String(nowS + 600) },
    "exp negative": { exp: -1 },
    "exp zero": { exp: 0 },
    "exp 1e300": { exp: 1e300 },
    "exp in the year 10000": { exp: 253_402_300_800 },
    "exp null": { exp: null },
    "exp missing": { exp: undefined },
    "exp true": { exp: true },
    "exp in a list": { exp: [nowS + 600] },
    "exp in milliseconds": { exp: (nowS + 600) * 1_000_000 },
    "nbf in the future": { nbf: nowS + 90 },
    "nbf as text": { nbf: String(nowS - 1) },
    "nbf null": { nbf: null },
    "nbf 1e300": { nbf: 1e300 },
    "iat in the future": { iat: nowS + 90 },
    "iat older than the maximum age": { iat: nowS - 86_400 - 90 },
    "iat as text": { iat: String(nowS) },
    "iat negative": { iat: -1 },
    "iat missing": { iat: undefined },
    "iat null": { iat: null },
  };
  for (const [name, body] of Object.entries(times)) await signed("time", name, {}, body);
  const raw = (name: string, text: string): string =>
    claimsText.replace(new RegExp(`"${name}":\\d+`), `"${name}":${text}`);
  for (const text of ["NaN", "Infinity", "1e400", "0x7fffffff", "-0"])
    await signedText("time", `exp the text ${text}`, header, raw("exp", text));

  // aud and iss
  const audiences = [undefined, "", "other", audience.slice(0, -1), `${audience}2`, ` ${audience}`, [], ["other"]];
  const odd = [7, null, true, {}, { 0: audience, length: 1 }, [[audience]], [null], audience.toUpperCase(), "*"];
  for (const aud of [...audiences, ...odd]) await signed("aud", `aud ${JSON.stringify(aud)}`, {}, { aud });
  const slash = issuer.endsWith("/") ? issuer.slice(0, -1) : `${issuer}/`;
  const issuers: Record<string, unknown> = {
    missing: undefined,
    empty: "",
    other: "https://evil.example.test/",
    "its slash at the end the other way": slash,
    "in capitals": issuer.toUpperCase(),
    "with a letter that looks the same": issuer.replace("i", "\u0456").replace("t", "\u0442"),
    "with a space": `${issuer} `,
    "with a query": `${issuer}?`,
    "with a fragment": `${issuer}#`,
    "with another host behind it": `${issuer}@evil.example.test/`,
    "with a port": issuer.replace(/^(https?:\/\/[^/:]+)/, "$1:444"),
    number: 7,
    null: null,
    list: [issuer],
    object: { toString: issuer },
    "the tenant's, with this key": tenant.issuer,
    __proto__: "__proto__",
  };
  for (const [name, iss] of Object.entries(issuers)) await signed("iss", `iss ${name}`, {}, { iss });

  // sub and typ
  const subjects = [
    undefined,
    "",
    7,
    null,
    true,
    ["admin"],
    {},
    "s".repeat(256),
    "s".repeat(4_000),
    "a\0b",
    "a\nb",
    "\x7f",
  ];
  for (const sub of subjects) await signed("sub", `sub ${shown(sub)}`, {}, { sub });
  await signedText("sub", "sub with half of a surrogate pair", header, claimsText.replace('"admin"', '"a\\ud800"'));
  for (const typ of ["id_token", "id+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE", "", 7, null, ["at+jwt"]])
    await signed("typ", `typ ${JSON.stringify(typ)}`, { typ });
  for (const jti of [7, "j".repeat(256), null]) await signed("sub", `jti ${shown(jti)}`, {}, { jti });

  // trust
  const theirs = { iss: tenant.issuer, aud: tenant.audience };
  await signed("trust", "another tenant's token for another audience", {}, { ...theirs, aud: "elsewhere" }, tenant.key);
  await signed("trust", "another tenant's token for this one's audience", {}, { ...theirs, aud: audience }, tenant.key);
  await signed("trust", "this issuer's name under another tenant's key", {}, {}, tenant.key);
  await signed("trust", "another tenant's name under this issuer's key", {}, theirs);
  await signed("trust", "a stranger's key of the right name", {}, {}, attackerKey);
  await signed("trust", "a stranger altogether", {}, { iss: "https://evil.example.test/" }, attackerKey);
  await signed("trust", "a key that was withdrawn", { kid: "withdrawn" }, {}, attackerKey);

  // size and encoding
  const filler = 8_192 - good.length;
  await signed("size", "a little more than 8 KB", {}, { filler: "f".repeat(Math.ceil((filler * 3) / 4) + 8) });
  token("size", "1 MB", `${goodHeader}.${"A".repeat(1 << 20)}.${goodSignature}`);
  token("size", "8 MB", `${goodHeader}.${"A".repeat(8 << 20)}.${goodSignature}`);
  token("size", "8 MB without dots", "A".repeat(8 << 20));
  token("size", "a million dots", ".".repeat(1 << 20));
  token("size", "100,000 levels", `${goodHeader}.${encoded("[".repeat(100_000))}.${goodSignature}`);
  const levels = 2_000;
  const nested = `{"x":${"[".repeat(levels)}${"]".repeat(levels)},"sub":"","iss"${claimsText.slice(6)}`;
  await signedText("size", "levels as many as fit, and no subject", header, nested);
  await signedText("size", "objects as deep as fit, never closed", header, `${'{"a":'.repeat(900)}`);
  const inClaims = (text: string): string => `{${text},${claimsText.slice(1)}`;
  await signedText("encoding", "a claim twice", header, inClaims('"sub":"user"'));
  await signedText("encoding", "a claim twice, once escaped", header, inClaims('"\\u0073ub":"user"'));
  await signedText(
    "encoding",
    "a claim twice, deep inside",
    header,
    inClaims('"realm_access":{"roles":[],"roles":[]}'),
  );
  await signedText("encoding", "__proto__ twice", header, inClaims('"__proto__":{},"__proto__":{}'));
  await signedText("encoding", "claims only by __proto__", header, `{"__proto__":${claimsText}}`);
  const broken = utf8.encode(inClaims('"x":"?"'));
  await signedText("encoding", "invalid UTF-8", header, broken.with(broken.indexOf(0x3f), 0xff));
  await signedText("encoding", "an overlong slash", header, new Uint8Array([...utf8.encode('{"x":"'), 0xc0, 0xaf]));
  await signedText("encoding", "a byte order mark", header, `\ufeff${claimsText}`);
  await signedText(
    "encoding",
    "UTF-16",
    header,
    new Uint8Array(new Uint16Array([...claimsText].map((c) => c.charCodeAt(0))).buffer),
  );
  for (const [name, text] of [
    ["padding", `${good}=`],
    ["padding twice", `${good}==`],
    ["padding of the header", `${goodHeader}=.${goodClaims}.${goodSignature}`],
    ["padding of the claims", `${goodHeader}.${goodClaims}=.${goodSignature}`],
    ["a space inside", good.replace(".", ". ")],
    ["a tab inside", good.replace(".", "\t.")],
    ["percent-encoded", good.replaceAll(".", "%2E")],
    ["the standard alphabet", `${input}.${goodSignature.replaceAll("-", "+").replaceAll("_", "/")}+/`],
    ["quoted", `"${good}"`],
    ["in angle brackets", `<${good}>`],
  ] as const)
    token("encoding", name, text);
  const spare = malleated(goodSignature);
  if (spare === null) throw new Error("a signature without spare bits");
  token("encoding", "other spare bits in the signature", `${input}.${spare}`);
  for (let length = 1; length <= 3; length++) {
    // One of these lengths has spare bits in the claims, one in the header.
    const body = encoded({ ...claims, x: "x".repeat(length) });
    const head = encoded({ ...header, x: "x".repeat(length) });
    for (const [name, text] of [
      ["claims", malleated(body) === null ? null : `${goodHeader}.${malleated(body)}`],
      ["header", malleated(head) === null ? null : `${malleated(head)}.${goodClaims}`],
    ] as const)
      if (text !== null)
        token(
          "encoding",
          `other spare bits in the ${name}, ${length}`,
          `${text}.${base64url.encode(await signatureOf(text, key))}`,
        );
  }

  // transport
  const authorization = (value: string) => ["authorization", value] as const;
  const bearer = `Bearer ${good}`;
  const stale = await jws(header, { ...claims, exp: 1 }, key);
  send("transport", "two headers", [authorization(bearer), authorization(bearer)]);
  send("transport", "two headers, the first of them bad", [authorization(`Bearer ${stale}`), authorization(bearer)]);
  send("transport", "two headers, the second another scheme", [authorization(bearer), authorization("Basic eDp5")]);
  for (const [name, value] of [
    ["two, joined by a comma", `${bearer}, ${bearer}`],
    ["a comma at the end", `${bearer},`],
    ["parameters behind", `${bearer}, realm="x"`],
    ["two spaces", `Bearer  ${good}`],
    ["a tab", `Bearer\t${good}`],
    ["no space", `Bearer${good}`],
    ["a colon", `Bearer: ${good}`],
    ["an equals sign", `Bearer=${good}`],
    ["the token alone", good],
    ["the scheme alone", "Bearer"],
    ["the scheme twice", `Bearer ${bearer}`],
    ["two tokens", `${bearer} ${good}`],
    ["Basic", `Basic ${good}`],
    ["Basic with the token as password", `Basic ${btoa(`x:${good.slice(0, 1_000)}`)}`],
    ["DPoP", `DPoP ${good}`],
    ["Token", `Token ${good}`],
    ["a longer scheme", `Bearers ${good}`],
    ["empty", ""],
  ] as const)
    send("transport", name, [authorization(value)]);
  send("transport", "nothing", []);
  send(
    "transport",
    "in the query",
    [],
    `?access_token=${good}&token=${good}&authorization=${encodeURIComponent(bearer)}`,
  );
  for (const name of ["cookie", "x-authorization", "proxy-authorization", "x-access-token", "x-forwarded-access-token"])
    send("transport", `in ${name}`, [[name, name === "cookie" ? `token=${good}; access_token=${good}` : bearer]]);
  send("transport", "as a WebSocket protocol", [["sec-websocket-protocol", `bearer, ${good}`]]);
  send("transport", "as an API key", [["x-api-key", good]]);
  return found;
}

/** Good tokens of the same key, to show that it is not everything that is refused. */
export async function goodCredentials({ issuer, audience, nowS, key }: Target): Promise<Record<string, string>> {
  const header = { alg: key.alg, kid: key.kid };
  const claims = { iss: issuer, aud: audience, sub: "user", groups: ["ai-users"], iat: nowS, exp: nowS + 600 };
  const made: Record<string, readonly [scheme: string, header: Json, claims: Json]> = {
    plain: ["Bearer", header, claims],
    "scheme in lower case": ["bearer", header, claims],
    "scheme in capitals": ["BEARER", header, claims],
    "typ JWT": ["Bearer", { ...header, typ: "JWT" }, claims],
    "typ at+jwt": ["Bearer", { ...header, typ: "at+jwt" }, claims],
    "one audience of several": ["Bearer", header, { ...claims, aud: ["other", audience] }],
    "nbf in the past": ["Bearer", header, { ...claims, nbf: nowS - 1 }],
    "a jti": ["Bearer", header, { ...claims, jti: "j1" }],
    "exp within the tolerance": ["Bearer", header, { ...claims, exp: nowS - 20 }],
    "iat within the tolerance": ["Bearer", header, { ...claims, iat: nowS + 20 }],
    "almost a day old": ["Bearer", header, { ...claims, iat: nowS - 86_000 }],
    "a subject beyond ASCII": ["Bearer", header, { ...claims, sub: "Zoë 🚇" }],
    "claims it does not know": ["Bearer", header, { ...claims, azp: "c", amr: [{ pwd: { at: 1 } }] }],
    "spaces in its JSON": ["Bearer", header, claims],
  };
  const texts = Object.entries(made).map(async ([name, [scheme, head, body]]) => {
    const payload = name === "spaces in its JSON" ? JSON.stringify(body, null, 2) : body;
    return [name, `${scheme} ${await jws(head, payload, key)}`] as const;
  });
  return Object.fromEntries(await Promise.all(texts));
}
