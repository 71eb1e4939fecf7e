/** What a scenario brings along: hosts of the lab and the models that they serve. */

export type HostPlan = {
  readonly id: string;
  /** Hosts of one machine live and die together: they are one process. */
  readonly machine: string;
  /** vLLM where it does not say. */
  readonly engine?: "vllm" | "llamacpp";
  /** Where it listens, if it is no host of the lab. */
  readonly url?: string;
  readonly slots: number;
  readonly ttftMs: number;
  readonly tokensPerSecond: number;
  /** What else the catalog says of it, in the catalog's grammar. */
  readonly listed?: Readonly<Record<string, unknown>>;
};

export type ModelPlan = {
  readonly id: string;
  /** Ids of the hosts that serve it, under the model's own name. */
  readonly on: readonly string[];
  /** What else the catalog says of it, in the catalog's grammar. */
  readonly listed?: Readonly<Record<string, unknown>>;
};

export type Plan = { readonly hosts: readonly HostPlan[]; readonly models: readonly ModelPlan[] };

/** So many hosts that are alike, each with a letter of its own: `kill-a`, `kill-b`. */
export function alike(count: number, name: string, rest: Omit<HostPlan, "id" | "machine">): HostPlan[] {
  return Array.from({ length: count }, (_, at) => ({ ...rest, id: `${name}-${letter(at)}`, machine: name }));
}

function letter(at: number): string {
  return String.fromCharCode("a".charCodeAt(0) + at);
}
