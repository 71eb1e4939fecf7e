// What a lab host is told when it starts: one plain object per host, checked here. No I/O.

export type EngineKind = "vllm" | "llamacpp";

export interface LabHostOptions {
  readonly id: string;
  readonly engine: EngineKind;
  /** 0 asks the system for a free port. */
  readonly port: number;
  /** Names the host serves; the first is the one metrics are labelled with. */
  readonly models: readonly string[];
  /** Generations that run at once (vLLM `--max-num-seqs`, llama.cpp `--parallel`). */
  readonly slots: number;
  /** Generations that may wait; undefined waits without limit, which is both engines' default. */
  readonly maxQueued?: number | undefined;
  /** vLLM asks for it on /v1 only, llama.cpp on everything but /health. */
  readonly apiKey?: string | undefined;
  /** llama.cpp only: /v1/* answers 404, so a caller must speak the native protocol. */
  readonly nativeOnly?: boolean | undefined;
  readonly ttftMs: number;
  readonly tokensPerSecond: number;
  readonly contextTokens: number;
  /** Never reports usage, as builds before continuous usage stats did. */
  readonly forceNoUsage?: boolean | undefined;
  /** Hosts of one family continue each other's answers; other families choose other words. */
  readonly weights?: string | undefined;
  /** vLLM only: `prompt_token_ids` / `token_ids` members (null) in chat chunks, as builds from 0.10.2 on write them. */
  readonly tokenIdMembers?: boolean | undefined;
  /** Its models' chat template trims every content; a vLLM then continues an answer without the white space at its end. */
  readonly trimsContent?: boolean | undefined;
  readonly embeddingDimensions?: number | undefined;
}

/**
 * Checks one entry of the JSON given to main.ts.
 * @throws Error naming the field and what it should be
 */
export function parseHostOptions(value: unknown): LabHostOptions {
  if (typeof value !== "object" || value === null) throw new Error("a lab host must be an object of options");
  const given: Record<string, unknown> = { ...value };
  const { id, engine, models } = given;
  if (typeof id !== "string" || id === "") throw new Error('lab host option "id" must be a non-empty string');
  const wrong = (field: string, wanted: string): Error => new Error(`lab host "${id}": "${field}" must be ${wanted}`);
  if (engine !== "vllm" && engine !== "llamacpp") throw wrong("engine", '"vllm" or "llamacpp"');
  if (!Array.isArray(models) || models.length === 0 || !models.every((name) => typeof name === "string"))
    throw wrong("models", "a non-empty array of names");
  const number = (field: string, fallback: number, least: number): number => {
    const found = given[field] ?? fallback;
    if (typeof found !== "number" || !Number.isFinite(found) || found < least)
      throw wrong(field, `a number >= ${least}`);
    return found;
  };
  const optional = <T>(field: string, fits: (found: unknown) => found is T, wanted: string): T | undefined => {
    const found = given[field];
    if (found === undefined || found === null) return undefined;
    if (!fits(found)) throw wrong(field, wanted);
    return found;
  };
  const isText = (found: unknown): found is string => typeof found === "string";
  const isFlag = (found: unknown): found is boolean => typeof found === "boolean";
  const isCount = (found: unknown): found is number => Number.isInteger(found) && Number(found) >= 0;
  return {
    id,
    engine,
    models,
    port: number("port", 0, 0),
    slots: number("slots", engine === "vllm" ? 64 : 2, 1),
    ttftMs: number("ttftMs", 50, 0),
    tokensPerSecond: number("tokensPerSecond", 100, 0.001),
    contextTokens: number("contextTokens", 8192, 1),
    maxQueued: optional("maxQueued", isCount, "a whole number >= 0"),
    apiKey: optional("apiKey", isText, "a string"),
    nativeOnly: optional("nativeOnly", isFlag, "true or false"),
    forceNoUsage: optional("forceNoUsage", isFlag, "true or false"),
    weights: optional("weights", isText, "a string"),
    tokenIdMembers: optional("tokenIdMembers", isFlag, "true or false"),
    trimsContent: optional("trimsContent", isFlag, "true or false"),
    embeddingDimensions: optional("embeddingDimensions", isCount, "a whole number > 0"),
  };
}
