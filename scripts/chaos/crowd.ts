/** The callers of one scenario: asks for them, and keeps what they saw. */
import { ask, type Seen } from "./caller.ts";

export class Crowd {
  /** By which the ledger knows the scenario's questions. */
  readonly workflow: string;
  readonly #gateway: string;
  readonly #keys: readonly string[];
  readonly #seen: Seen[] = [];
  #inFlight = 0;

  constructor(name: string, gateway: string, keys: readonly string[]) {
    this.workflow = `chaos-${name}`;
    this.#gateway = gateway;
    this.#keys = keys;
  }

  /** What is over, in the order of its end. */
  get seen(): readonly Seen[] {
    return this.#seen;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get callers(): number {
    return this.#keys.length;
  }

  /** One question of a caller. Never rejects. @param workflow another name for what the scenario does not count */
  async ask(
    caller: number,
    body: Readonly<Record<string, unknown>>,
    { headers = {}, workflow = this.workflow }: { headers?: Readonly<Record<string, string>>; workflow?: string } = {},
  ): Promise<Seen> {
    this.#inFlight += 1;
    const seen = await ask(this.#gateway, this.#keys[caller] ?? "", { workflow, caller, body, headers });
    this.#inFlight -= 1;
    if (workflow === this.workflow) this.#seen.push(seen);
    return seen;
  }
}
