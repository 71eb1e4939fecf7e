/**
 * Which model a name such as `auto`, `code` or `chat` stands for: the catalog's rules (`catalog/alias.ts`) applied to
 * one request. Pure; whether the caller may use that model is for `models.ts`.
 *
 * A system prompt says its language by a tag: `[lang:de]`, `[lang=de]` or `<lang>de</lang>` near its beginning, or
 * `lang: de` as its first line. A caller says what it would rather have in the header `x-causeway-prefer`: words with
 * commas or blanks between them.
 */
import type { AliasCondition } from "#src/catalog/alias.ts";
import type { Catalog } from "#src/catalog/schema.ts";
import { likelyTokens } from "#src/limits/estimate.ts";
import { systemText } from "./opening.ts";
import type { Question } from "./question.ts";

/** What the rules look at. */
export type Traits = {
  /** By the gateway's own estimate. */
  readonly promptTokens: number;
  readonly tools: boolean;
  /** BCP 47, in small letters; null where the system prompt names none. */
  readonly language: string | null;
  /** In small letters. */
  readonly prefer: readonly string[];
};

/** A tag stands at the beginning, or nobody looks for it. */
const TAG_WITHIN = 4_096;
const LONGEST_PREFERENCE = 256;

const LANGUAGE = "([a-z]{2,8}(?:-[a-z0-9]{1,8})*)";
const TAGS = [
  new RegExp(`\\[lang[:=] ?${LANGUAGE}\\]`, "i"),
  new RegExp(`<lang>${LANGUAGE}</lang>`, "i"),
  // Without the flag `m`: the first line only.
  new RegExp(`^lang: ?${LANGUAGE}[ \\r]*(?:\\n|$)`, "i"),
];

/**
 * The id of the model that a name stands for.
 *
 * @param traits of the request; null where there is no question yet, only the name: then what holds when no rule does
 * @returns the name itself where it is no alias
 */
export function resolved(aliases: Catalog["aliases"], name: string, traits: (() => Traits) | null): string {
  const alias = aliasOf(aliases, name);
  if (alias === undefined) return name;
  if (traits === null || alias.rules.length === 0) return alias.otherwise;
  const seen = traits();
  return alias.rules.find(({ when }) => fits(when, seen))?.use ?? alias.otherwise;
}

/** The ids of all models that an alias may stand for; none where the name is no alias. */
export function targetsOf(aliases: Catalog["aliases"], name: string): string[] {
  const alias = aliasOf(aliases, name);
  return alias === undefined ? [] : [...alias.rules.map(({ use }) => use), alias.otherwise];
}

/**
 * What the rules look at in one request.
 *
 * @param bodyBytes of the document as it came in
 * @param prefer the header `x-causeway-prefer`
 */
export function traitsOf({ body }: Pick<Question, "body">, bodyBytes: number, prefer: string | null): Traits {
  return {
    promptTokens: likelyTokens(body, bodyBytes),
    tools: offers(body.tools) || offers(body.functions),
    language: languageOf(systemText(body, TAG_WITHIN)),
    prefer: (prefer ?? "")
      .slice(0, LONGEST_PREFERENCE)
      .toLowerCase()
      .split(/[\s,]+/)
      .filter((word) => word !== ""),
  };
}

function fits({ minPromptTokens, maxPromptTokens, tools, languages, prefer }: AliasCondition, seen: Traits): boolean {
  if (minPromptTokens !== undefined && seen.promptTokens < minPromptTokens) return false;
  if (maxPromptTokens !== undefined && seen.promptTokens > maxPromptTokens) return false;
  if (tools !== undefined && seen.tools !== tools) return false;
  if (languages !== undefined && !languages.some((range) => speaks(seen.language, range.toLowerCase()))) return false;
  return prefer === undefined || prefer.some((word) => seen.prefer.includes(word.toLowerCase()));
}

/** Basic filtering (RFC 4647, 3.3.1): `de` holds for `de-AT`, and not the other way round. */
function speaks(language: string | null, range: string): boolean {
  return language === range || language?.startsWith(`${range}-`) === true;
}

function languageOf(system: string): string | null {
  for (const tag of TAGS) {
    const found = tag.exec(system)?.[1];
    if (found !== undefined) return found.toLowerCase();
  }
  return null;
}

/** A name is the caller's: one such as `constructor` must find nothing. */
function aliasOf(aliases: Catalog["aliases"], name: string): Catalog["aliases"][string] | undefined {
  return Object.hasOwn(aliases, name) ? aliases[name] : undefined;
}

function offers(list: unknown): boolean {
  return Array.isArray(list) && list.length > 0;
}
