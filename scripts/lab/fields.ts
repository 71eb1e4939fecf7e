// Reading members of a JSON body whose shape nobody has checked. Throws BadField, which each dialect words its own way.

export type Json = Readonly<Record<string, unknown>>;

/** A member is missing or of the wrong type: the client's fault. */
export class BadField extends Error {
  readonly field: string;
  readonly missing: boolean;

  constructor(field: string, message: string, missing = false) {
    super(message);
    this.name = "BadField";
    this.field = field;
    this.missing = missing;
  }
}

export function isJson(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A string member; null and absent give the fallback. @throws BadField */
export function text(body: Json, field: string, fallback: string): string {
  const found = body[field] ?? fallback;
  if (typeof found !== "string") throw new BadField(field, "Input should be a valid string");
  return found;
}

/** A finite number member; null and absent give null. @throws BadField */
export function number(body: Json, field: string): number | null {
  const found = body[field] ?? null;
  if (found !== null && (typeof found !== "number" || !Number.isFinite(found)))
    throw new BadField(field, "Input should be a valid number");
  return found;
}

/** A whole-number member not below `least`; null and absent give null. @throws BadField */
export function count(body: Json, field: string, least: number): number | null {
  const found = number(body, field);
  if (found === null) return null;
  if (!Number.isInteger(found)) throw new BadField(field, "Input should be a valid integer");
  if (found < least) throw new BadField(field, `${field} must be at least ${least}, got ${found}.`);
  return found;
}

/** A boolean member; null and absent give false. @throws BadField */
export function flag(body: Json, field: string): boolean {
  const found = body[field] ?? false;
  if (typeof found !== "boolean") throw new BadField(field, "Input should be a valid boolean");
  return found;
}

/** A string or an array of strings; null and absent give none, empty strings are dropped. @throws BadField */
export function texts(body: Json, field: string): string[] {
  const found = body[field] ?? [];
  const list: unknown[] = Array.isArray(found) ? found : [found];
  return list.flatMap((entry) => {
    if (typeof entry !== "string") throw new BadField(field, "Input should be a valid string");
    return entry === "" ? [] : [entry];
  });
}
