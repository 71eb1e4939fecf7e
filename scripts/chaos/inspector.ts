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
/**
 * Not `HeapProfiler.collectGarbage`: that leaves it to a task that an isolate gets to at some later turn, or never (seen
 * once in 30 s). The first collection finds buffers dead, the second gives their memory back, and what only the platform's
 * objects held takes more: it goes on while each still frees a hundredth, as V8 does for want of memory.
 */
const COLLECT = "gc(); gc()";
const WORTH_ANOTHER = 0.99;
const MOST_TIMES = 7;

const usage = z.object({
  usedSize: z.number(),
  embedderHeapUsedSize: z.number().default(0),
  backingStorageSize: z.number().default(0),
});
const contextCreated = z.object({
  method: z.literal("Runtime.executionContextCreated"),
  params: z.object({ context: z.object({ id: z.number() }) }),
});
const evaluated = z.object({ exceptionDetails: z.object({ text: z.string() }).optional() });
const reply = z.object({
  id: z.number(),
  result: z.unknown(),
  error: z.object({ message: z.string() }).optional(),
});

/**
 * Collects in one isolate of a workerd that is `weighable`.
 *
 * @param isolate its address: the inspector's, with the service's name as path
 * @returns what it holds then, in bytes: the JS heap, the platform's objects on it, and the memory of buffers
 * @throws Error when the inspector does not answer
 */
export async function collected(isolate: string): Promise<number> {
  let refused: unknown = null;
  for (let tries = 0; tries < TRIES; tries++) {
    try {
      return await collectedAtOnce(isolate);
    } catch (cause) {
      refused = cause;
    }
  }
  throw new Error(`the inspector ${isolate} does not answer`, { cause: refused });
}

async function collectedAtOnce(isolate: string): Promise<number> {
  const socket = new WebSocket(isolate);
  try {
    await once(socket, "open", { signal: AbortSignal.timeout(WITHIN_MS) });
    const contextId = await contextOf(socket);
    let leftBytes = Number.POSITIVE_INFINITY;
    for (let times = 0; times < MOST_TIMES; times++) {
      const beforeBytes = leftBytes;
      leftBytes = await collectedOnce(socket, contextId);
      if (leftBytes > beforeBytes * WORTH_ANOTHER) break;
    }
    return leftBytes;
  } finally {
    socket.close();
  }
}

async function collectedOnce(socket: WebSocket, contextId: number): Promise<number> {
  const said = evaluated.parse(await call(socket, "Runtime.evaluate", { expression: COLLECT, contextId }));
  if (said.exceptionDetails !== undefined) throw new Error(`it cannot collect: ${said.exceptionDetails.text}`);
  const left = usage.parse(await call(socket, "Runtime.getHeapUsage"));
  return left.usedSize + left.embedderHeapUsedSize + left.backingStorageSize;
}

/** workerd tells of the isolate's one context once it is asked to tell of any. */
async function contextOf(socket: WebSocket): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const heard = ({ data }: MessageEvent): void => {
    const said = contextCreated.safeParse(JSON.parse(String(data)));
    if (said.success) resolve(said.data.params.context.id);
  };
  socket.addEventListener("message", heard);
  try {
    await call(socket, "Runtime.enable");
    return await within(promise, "where the Worker runs");
  } finally {
    socket.removeEventListener("message", heard);
  }
}

let lastId = 0;

function call(socket: WebSocket, method: string, params: object = {}): Promise<unknown> {
  lastId += 1;
  const id = lastId;
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const heard = ({ data }: MessageEvent): void => {
    const said = reply.safeParse(JSON.parse(String(data)));
    // Events that nobody asked for have no number.
    if (!said.success || said.data.id !== id) return;
    const { result, error } = said.data;
    if (error === undefined) resolve(result);
    else reject(new Error(`${method}: ${error.message}`));
  };
  socket.addEventListener("message", heard);
  socket.send(JSON.stringify({ id, method, params }));
  return within(promise, method).finally(() => socket.removeEventListener("message", heard));
}

function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let late: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    late = setTimeout(() => reject(new Error(`the inspector does not answer ${what}`)), WITHIN_MS);
  });
  return Promise.race([promise, tooLate]).finally(() => clearTimeout(late));
}
