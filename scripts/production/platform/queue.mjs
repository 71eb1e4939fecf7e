/**
 * The platform's queues: what was sent is delivered in batches, when one is full or has waited long enough, and again
 * when the consumer says so. In memory: what is measured is the gateway, which would send again what is lost here.
 * Plain JavaScript, because it belongs to workerd, whose types the scripts do not have.
 */
import { DurableObject } from "cloudflare:workers";

/** One object for each queue; the binding says which by its host name. */
export default {
  fetch(request, env) {
    return env.QUEUE.getByName(env.NAME).fetch(request);
  },
};

export class Queue extends DurableObject {
  #waiting = [];
  #isDue = false;

  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/batch") {
      const { messages } = await request.json();
      for (const { body, contentType } of messages) this.#take(Uint8Array.fromBase64(body), contentType);
    } else if (pathname === "/message") {
      this.#take(new Uint8Array(await request.arrayBuffer()), request.headers.get("x-msg-fmt"));
    }
    return Response.json({ metadata: { metrics: { backlogCount: this.#waiting.length, backlogBytes: 0 } } });
  }

  #take(bytes, contentType) {
    this.#push({ id: crypto.randomUUID(), timestamp: new Date(), attempts: 1, ...bodyOf(bytes, contentType) });
  }

  #push(message) {
    this.#waiting.push(message);
    const { maxBatchSize, maxBatchTimeout } = this.#consumer;
    if (this.#waiting.length >= maxBatchSize) void this.#deliver();
    else if (!this.#isDue) {
      this.#isDue = true;
      setTimeout(() => this.#deliver(), maxBatchTimeout * 1_000);
    }
  }

  get #consumer() {
    return this.env.CONSUMERS[this.ctx.id.name];
  }

  async #deliver() {
    this.#isDue = false;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#consumer.maxBatchSize);
      const { outcome, retryBatch, retryMessages } = await this.env.GATEWAY.queue(this.ctx.id.name, batch);
      const again = new Map(retryMessages.map(({ msgId, delaySeconds }) => [msgId, delaySeconds ?? 0]));
      for (const message of batch) {
        const isAll = outcome !== "ok" || retryBatch.retry;
        const delayS = again.get(message.id) ?? (isAll ? (retryBatch.delaySeconds ?? 1) : null);
        if (delayS !== null)
          setTimeout(() => this.#push({ ...message, attempts: message.attempts + 1 }), delayS * 1_000);
      }
    }
  }
}

function bodyOf(bytes, contentType) {
  if (contentType === "json") return { body: JSON.parse(new TextDecoder().decode(bytes)) };
  if (contentType === "text") return { body: new TextDecoder().decode(bytes) };
  if (contentType === "bytes") return { body: bytes };
  return { serializedBody: bytes };
}
