/**
 * Structured fields as RFC 9651 (section 4.2) parses them, strictly: a list of items with parameters, of the types that
 * the rate-limit fields use (strings, integers, tokens, booleans). What is anything else throws.
 */

export type BareItem = string | number | boolean;
export type Item = { readonly value: BareItem; readonly parameters: Readonly<Record<string, BareItem>> };

const STRING = /"((?:[ !#-[\]-~]|\\["\\])*)"/y;
/** 15 digits at most (3.3.1); a fraction would make a decimal, which no field here may have. */
const INTEGER = /-?\d{1,15}(?![\d.])/y;
const TOKEN = /[A-Za-z*][!#$%&'*+\-.^_`|~\w:/]*/y;
const BOOLEAN = /\?([01])/y;
const KEY = /[a-z*][a-z\d_\-.*]*/y;

class Input {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get isEmpty(): boolean {
    return this.#at === this.#text.length;
  }

  /** Takes what matches here, or nothing. */
  take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found !== null) this.#at = pattern.lastIndex;
    return found;
  }

  need(pattern: RegExp, what: string): RegExpExecArray {
    const found = this.take(pattern);
    if (found === null) throw new Error(`no ${what} at ${this.#at} of ${JSON.stringify(this.#text)}`);
    return found;
  }
}

/** @throws Error where the text is no such list */
export function parseList(text: string): Item[] {
  const input = new Input(text);
  const items: Item[] = [];
  input.take(/ */y);
  while (!input.isEmpty) {
    items.push({ value: bareItem(input), parameters: parametersOf(input) });
    input.take(/[ \t]*/y);
    if (input.isEmpty) return items;
    input.need(/,[ \t]*/y, "comma");
    if (input.isEmpty) throw new Error("a comma at the end");
  }
  return items;
}

function bareItem(input: Input): BareItem {
  const string = input.take(STRING);
  if (string !== null) return (string[1] ?? "").replace(/\\(.)/g, "$1");
  const integer = input.take(INTEGER);
  if (integer !== null) return Number(integer[0]);
  const boolean = input.take(BOOLEAN);
  if (boolean !== null) return boolean[1] === "1";
  return input.need(TOKEN, "item")[0];
}

function parametersOf(input: Input): Record<string, BareItem> {
  const parameters: Record<string, BareItem> = {};
  while (input.take(/; */y) !== null) {
    const [key] = input.need(KEY, "key");
    parameters[key] = input.take(/=/y) === null ? true : bareItem(input);
  }
  return parameters;
}
