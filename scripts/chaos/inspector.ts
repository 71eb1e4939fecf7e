/**
 * The inspector of workerd, as far as memory goes: has V8 collect what nobody holds any more, and says what is left. Not
 * attached but for that moment, so that nothing is observed meanwhile.
 */
import { once } from "node:events";
import { z } from "zod";

/** A collection of a large heap takes a second on a busy core. */
const WITHIN_MS = 10_000;
/** workerd refuses or forgets a session that comes while it still takes leave of another. */
const TRIES = 3;
const NUDGE_EVERY_MS = 100;

const usage = z.object({
  usedSize: z.number(),
  embedderHeapUsedSize: z.number().default(0),
  backingStorageSize: z.number().default(0),
});
const reply = z.object({
  id: z.number(),
  result: z.unknown(),
  error: z.object({ message: z.string() }).optional(),
});

/**
 * Collects in one isolate.
 *
 * @param isolate its address: the inspector's, with the service's name as path
 * @param nudge gives the isolate something to do: V8 collects at the isolate's next turn, and one that rests has none
 * @returns what it holds then, in bytes: the JS heap, the platform's objects on it, and the memory of buffers
 * @throws Error when the inspector does not answer
 */
export async function collected(isolate: string, nudge: () => Promise<unknown>): Promise<number> {
  let refused: unknown = null;
  for (let tries = 0; tries < TRIES; tries++) {
    try {
      return await collectedAtOnce(isolate, nudge);
    } catch (cause) {
      refused = cause;
    }
  }
  throw new Error(`the inspector ${isolate} does not answer`, { cause: refused });
}

async function collectedAtOnce(isolate: string, nudge: () => Promise<unknown>): Promise<number> {
  const socket = new WebSocket(isolate);
  const nudging = setInterval(() => void nudge().catch(() => undefined), NUDGE_EVERY_MS);
  try {
    await once(socket, "open", { signal: AbortSignal.timeout(WITHIN_MS) });
    await call(socket, 1, "HeapProfiler.enable");
    await call(socket, 2, "HeapProfiler.collectGarbage");
    const left = usage.parse(await call(socket, 3, "Runtime.getHeapUsage"));
    return left.usedSize + left.embedderHeapUsedSize + left.backingStorageSize;
  } finally {
    clearInterval(nudging);
    socket.close();
  }
}

function call(socket: WebSocket, id: number, method: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`the inspector does not answer ${method}`)), WITHIN_MS);
    const heard = ({ data }: MessageEvent): void => {
      const said = reply.safeParse(JSON.parse(String(data)));
      // Events that nobody asked for have no number.
      if (!said.success || said.data.id !== id) return;
      clearTimeout(late);
      socket.removeEventListener("message", heard);
      const { result, error } = said.data;
      if (error === undefined) resolve(result);
      else reject(new Error(`${method}: ${error.message}`));
    };
    socket.addEventListener("message", heard);
    socket.send(JSON.stringify({ id, method }));
  });
}
