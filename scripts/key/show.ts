/** API keys as text for a person. Pure. */
import { minute, table } from "../gateway/table.ts";
import type { ApiKey } from "./ask.ts";

const HEADINGS = ["ID", "OWNER", "STATE", "TIER", "SCOPES", "ENDS", "LAST USED", "LABEL"];

/** A table of keys, one per line. */
export function keyTable(keys: readonly ApiKey[]): string {
  return keys.length === 0 ? "no keys" : table(HEADINGS, keys.map(cellsOf));
}

/** What is said beside a key that was made just now. */
export function noteOn(key: ApiKey): string {
  const { id, owner, tier, scopes, expiresAt, replaces } = key;
  const lines = [
    "This is the only time that the key is shown; the gateway does not keep it.",
    `${id} of ${owner}: tier ${tier}, ${scopes.join(", ")}, until ${minute(expiresAt)}`,
  ];
  if (replaces !== undefined)
    lines.push(`It replaces ${replaces.id}, which is good until ${minute(replaces.retiresAt)}.`);
  return lines.join("\n");
}

/** What is said of a key that was revoked. */
export function farewell({ id, owner, label }: ApiKey): string {
  return `${id} of ${owner} (${label}) is revoked: nothing new is admitted with it.`;
}

function cellsOf(key: ApiKey): string[] {
  const { id, owner, state, tier, scopes, expiresAt, retiresAt, lastUsedAt, label } = key;
  const ends = [expiresAt, ...(retiresAt === null ? [] : [retiresAt])].sort()[0] ?? expiresAt;
  const used = lastUsedAt === null ? "never" : minute(lastUsedAt);
  return [id, owner, state, tier, scopes.join(","), minute(ends), used, label];
}
