/** JSON objects whose members nobody has checked yet. */
export type JsonObject = { readonly [member: string]: unknown };

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
