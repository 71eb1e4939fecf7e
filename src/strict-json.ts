/**
 * What JSON.parse forgives: a member named twice. The last one wins there and the first one elsewhere, so that two
 * readers of one document see two documents. Imports nothing.
 */

const QUOTE = '"';

/**
 * Looks for a member that stands twice in one object.
 *
 * @param json text that JSON.parse has accepted
 * @param maxDepth objects nested deeper are not looked into; 1 is the document itself
 * @returns the member's name, or null
 */
export function duplicateMember(json: string, maxDepth = Number.POSITIVE_INFINITY): string | null {
  /** Names seen in each open object; null for an array. */
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < json.length; at++) {
    const character = json[at];
    if (character === "{") open.push(new Set());
    else if (character === "[") open.push(null);
    else if (character === "}" || character === "]") open.pop();
    else if (character === QUOTE) {
      const end = endOfString(json, at);
      const names = open.at(-1);
      if (names !== null && names !== undefined && open.length <= maxDepth && isName(json, end)) {
        // Parsed, because one name can be escaped in many ways.
        const name: string = JSON.parse(json.slice(at, end));
        if (names.has(name)) return name;
        names.add(name);
      }
      at = end - 1;
    }
  }
  return null;
}

/** The position behind the closing quote. */
function endOfString(json: string, start: number): number {
  // By the engine's own search: nearly all of a document is strings.
  for (let at = json.indexOf(QUOTE, start + 1); at !== -1; at = json.indexOf(QUOTE, at + 1)) {
    let slashes = 0;
    while (json[at - 1 - slashes] === "\\") slashes++;
    if (slashes % 2 === 0) return at + 1;
  }
  return json.length;
}

function isName(json: string, end: number): boolean {
  let at = end;
  while (json[at] === " " || json[at] === "\n" || json[at] === "\r" || json[at] === "\t") at++;
  return json[at] === ":";
}
