/** What src/ takes from workerd's globals, for the types of scripts that import it. Nothing of it is there at run time. */

interface KVNamespace {
  get(key: string, options?: object): Promise<unknown>;
  put(key: string, value: string, options?: object): Promise<void>;
}

interface Scheduler {
  wait(ms: number, options?: { signal?: AbortSignal }): Promise<void>;
}

interface ReadableStreamBYOBReader {
  readAtLeast(minBytes: number, view: Uint8Array): Promise<ReadableStreamReadResult<Uint8Array<ArrayBuffer>>>;
}
