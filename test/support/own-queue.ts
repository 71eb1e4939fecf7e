/** A queue of one object's own: what others of its kind, which tests before left in the runtime, send is not heard in it. */
import type { UsageMessage } from "#src/usage/event.ts";

/** @param take is given each batch; what it throws the queue throws */
export function withOwnQueue(instance: object, take: (messages: UsageMessage[]) => void): void {
  const sendBatch = async (batch: Iterable<{ body: UsageMessage }>): Promise<void> =>
    take(structuredClone([...batch]).map(({ body }) => body));
  Reflect.set(instance, "env", { ...Reflect.get(instance, "env"), USAGE: { sendBatch } });
}
