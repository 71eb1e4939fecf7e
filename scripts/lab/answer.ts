// What a lab model answers: each next token is a pure function of the whole string so far, so an answer cut anywhere on
// one host is continued to the same text by any other host of equal weights. No I/O, no clock, no chance.
import { fold, spread } from "./hash.ts";
import { lastUserText, openAnswerAt } from "./template.ts";
import { tokenize } from "./tokens.ts";
import { WORD_NUMBERS, WORDS } from "./vocabulary.ts";

/** Sampling moves the choice by a fixed shift below this bound; 0 is greedy. Small, so that own words are recognised. */
export const SHIFTS = 16;
const SHORTEST = 16;
const LENGTHS = 81;
const LENGTH_DIRECTIVE = /\[\[tokens=(\d{1,7})\]\]/g;
const DIRECTIVES = /\[\[(?:echo|tokens=\d{1,7})\]\]/g;
const ECHO = "[[echo]]";

export interface AnswerOptions {
  /** Hosts of one family choose the same words. */
  readonly weights: string;
  /** 0 <= shift < SHIFTS: which of the likely words sampling took. */
  readonly shift: number;
  /** The whole answer, where something other than the model's mood fixes it (a tool call, JSON mode). */
  readonly script?: string | undefined;
}

export interface Answer {
  /** The next token's text, or null where the model would end its answer. */
  next(): string | null;
  /** The next token although the model would have ended (`ignore_eos`, `min_tokens`). */
  further(): string;
}

/** Starts, or goes on with, the answer to a prompt. */
export function answer(prompt: string, options: AnswerOptions): Answer {
  const basis = fold(0x811c9dc5, options.weights);
  const said = alreadySaid(prompt, basis, options.shift);
  const voice = new Voice(fold(basis, prompt), prompt, options.shift);
  const before = prompt.slice(0, said.at);
  const script = options.script ?? echoed(before, said.raw);
  if (script !== null) return new Scripted(script, scriptedSoFar(prompt, script, said), directedLength(before), voice);
  const total = directedLength(before) ?? SHORTEST + (spread(fold(basis, before)) % LENGTHS);
  return new Free(voice, total - said.tokens, said.pending);
}

/** Chooses words; owns the running hash of everything said so far. */
class Voice {
  #state: number;
  #lineStart: boolean;
  readonly #shift: number;

  constructor(state: number, prompt: string, shift: number) {
    this.#state = state;
    this.#lineStart = prompt === "" || prompt.endsWith("\n");
    this.#shift = shift;
  }

  choose(): string {
    return this.hear(written(wordAt(this.#state, this.#shift), this.#lineStart));
  }

  hear(text: string): string {
    this.#state = fold(this.#state, text);
    this.#lineStart = text.endsWith("\n");
    return text;
  }
}

class Free implements Answer {
  readonly #voice: Voice;
  #left: number;
  #pending: string;

  constructor(voice: Voice, left: number, pending: string) {
    this.#voice = voice;
    this.#left = left;
    this.#pending = pending;
  }

  next(): string | null {
    return this.#left > 0 ? this.further() : null;
  }

  further(): string {
    this.#left -= 1;
    if (this.#pending === "") return this.#voice.choose();
    const rest = this.#pending;
    this.#pending = "";
    return this.#voice.hear(rest);
  }
}

class Scripted implements Answer {
  readonly #tokens: Iterator<string, undefined>;
  readonly #voice: Voice;

  constructor(script: string, said: number, total: number | null, voice: Voice) {
    this.#tokens = tokensFrom(tokenize(script).slice(0, total ?? undefined), said).values();
    this.#voice = voice;
  }

  next(): string | null {
    const { value } = this.#tokens.next();
    return value === undefined ? null : this.#voice.hear(value);
  }

  further(): string {
    return this.next() ?? this.#voice.choose();
  }
}

/** What is left of a text's tokens once so many UTF-16 units are said; the rest of one that was cut comes first. */
function tokensFrom(tokens: readonly string[], said: number): string[] {
  let at = 0;
  return tokens.flatMap((token) => {
    const rest = token.slice(Math.max(0, said - at));
    at += token.length;
    return rest === "" ? [] : [rest];
  });
}

interface Said {
  /** Where in the prompt the answer begins; the prompt's length where nothing was said yet. */
  readonly at: number;
  readonly tokens: number;
  /** What is missing of a word that was cut in its middle. */
  readonly pending: string;
  /** True where no assistant message is open, so the start was recognised by the words alone. */
  readonly raw: boolean;
}

function alreadySaid(prompt: string, basis: number, shift: number): Said {
  const open = openAnswerAt(prompt);
  const run = new OwnWords(shift);
  let state = basis;
  let at = 0;
  let lineStart = true;
  if (open >= 0) {
    state = fold(state, prompt.slice(0, open));
    at = open;
  }
  const tokens = tokenize(prompt.slice(at));
  for (const token of tokens) {
    run.hear(token, at, state, lineStart, at + token.length === prompt.length);
    state = fold(state, token);
    at += token.length;
    lineStart = token.endsWith("\n");
  }
  const pending = run.pending;
  if (open >= 0) return { at: open, tokens: tokens.length - (pending === "" ? 0 : 1), pending, raw: false };
  return { at: run.startedAt ?? prompt.length, tokens: run.length, pending, raw: true };
}

/** Finds the run of words at a text's end that the model itself would have said there. */
class OwnWords {
  startedAt: number | undefined;
  length = 0;
  pending = "";
  #shift: number;
  readonly #asked: number;

  constructor(asked: number) {
    this.#asked = asked;
    this.#shift = asked;
  }

  hear(token: string, at: number, state: number, lineStart: boolean, last: boolean): void {
    const shift = shiftOf(token, state, lineStart);
    const expected = this.length === 0 ? this.#asked : this.#shift;
    const wanted = written(wordAt(state, expected), lineStart);
    if (last && wanted !== token && wanted.startsWith(token)) {
      this.startedAt ??= at;
      this.pending = wanted.slice(token.length);
    } else if (shift !== undefined && (this.length === 0 || shift === expected)) {
      this.startedAt ??= at;
      this.length += 1;
      this.#shift = shift;
    } else {
      this.startedAt = undefined;
      this.length = 0;
    }
  }
}

function wordAt(state: number, shift: number): string {
  return WORDS[(spread(state) + shift) % WORDS.length] ?? "\n";
}

function written(word: string, lineStart: boolean): string {
  return word === "\n" || lineStart ? word : ` ${word}`;
}

function shiftOf(token: string, state: number, lineStart: boolean): number | undefined {
  const word = token === "\n" || lineStart ? token : token.startsWith(" ") ? token.slice(1) : undefined;
  const index = word === undefined ? undefined : WORD_NUMBERS.get(word);
  if (index === undefined) return undefined;
  const shift = (index - (spread(state) % WORDS.length) + WORDS.length) % WORDS.length;
  return shift < SHIFTS ? shift : undefined;
}

function directedLength(before: string): number | null {
  const last = [...before.matchAll(LENGTH_DIRECTIVE)].at(-1)?.[1];
  return last === undefined ? null : Number(last);
}

/** The text `[[echo]]` asks for, without directives; in a raw prompt, what stands before the directive. */
function echoed(before: string, raw: boolean): string | null {
  const asked = raw ? before : lastUserText(before);
  const at = asked.lastIndexOf(ECHO);
  if (at < 0) return null;
  const plain = (text: string): string => text.replace(DIRECTIVES, "").trim();
  return (raw && plain(asked.slice(0, at))) || plain(asked);
}

function scriptedSoFar(prompt: string, script: string, said: Said): number {
  const after = said.raw ? prompt.lastIndexOf(ECHO) + ECHO.length : said.at;
  const text = said.raw && after < ECHO.length ? "" : prompt.slice(after);
  return text !== "" && script.startsWith(text) ? text.length : 0;
}
