/** JSON objects whose members nobody has checked yet. */
export type JsonObject = { readonly [member: string]: unknown };
