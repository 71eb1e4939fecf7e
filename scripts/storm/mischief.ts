/**
 * What a queue and a machine may do to the ledger's consumer, done on purpose: deliveries that come twice, and a consumer
 * that dies between its commit and its acknowledgement. It stands between the platform and the gateway's own handlers
 * (worker.mjs), which know nothing of it; nothing of it is in the Worker that is deployed.
 */

/** A message of the queue, as the platform delivers it. */
export type Delivery = {
  readonly id: string;
  readonly body: unknown;
  readonly attempts: number;
  ack(): void;
  retry(options?: { readonly delaySeconds?: number }): void;
};
export type Batch = { readonly queue: string; readonly messages: readonly Delivery[] };

type Consumer<Env> = (batch: Batch, env: Env) => Promise<void>;

export type Chances = {
  /** Of a message, to be delivered twice: half of them within one batch, half in two batches at once. */
  readonly duplicates: number;
  /** Of a batch, to lose its consumer between commit and acknowledgement. */
  readonly crashes: number;
};

/** What was done to a batch, for the log. */
export type Done = { readonly deliveries: number; readonly duplicates: number; readonly crashed: boolean };

const QUEUE = "usage";

/**
 * The consumer, with mischief done to the ledger's queue.
 *
 * @param chances of an environment; read at every batch
 */
export function mischievous<Env>(
  consume: Consumer<Env>,
  chances: (env: Env) => Chances,
  random: () => number,
  tell: (done: Done) => void,
): Consumer<Env> {
  return async (batch, env) => {
    if (batch.queue !== QUEUE) return consume(batch, env);
    const { duplicates, crashes } = chances(env);
    const doom = { sealed: random() < crashes, met: false };
    const messages = batch.messages.map((message) => (doom.sealed ? dying(message, doom) : message));
    const again = batch.messages.filter(() => random() < duplicates).map(unheard);
    const [within, beside] = [again.filter((_, at) => at % 2 === 0), again.filter((_, at) => at % 2 === 1)];
    const batches = [[...messages, ...within], beside].filter(({ length }) => length > 0);
    await Promise.all(batches.map((part) => consume({ queue: QUEUE, messages: part }, env)));
    tell({ deliveries: batch.messages.length, duplicates: again.length, crashed: doom.met });
    // The platform delivers all of it again.
    if (doom.met) throw new Error("the consumer died between commit and acknowledgement");
  };
}

/** Its acknowledgement is the moment at which the consumer dies: nothing that follows it happens. */
function dying(message: Delivery, doom: { met: boolean }): Delivery {
  const { id, body, attempts } = message;
  return {
    id,
    body,
    attempts,
    ack: () => {
      doom.met = true;
      throw new Error("dead");
    },
    retry: (options) => {
      if (!doom.met) message.retry(options);
    },
  };
}

/** A second delivery, of which the platform hears nothing. */
function unheard({ id, body, attempts }: Delivery): Delivery {
  return { id, body, attempts, ack: () => undefined, retry: () => undefined };
}
