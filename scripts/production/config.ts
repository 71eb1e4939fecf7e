/**
 * workerd's configuration for the gateway as it is deployed: the production bundle with its objects on the local disk, and
 * small native-like stand-ins for what the platform does outside of the Worker (`platform/`). Not by Miniflare: it puts a
 * Worker of its own before every fetch, and two before every rate limit. Pure.
 */
import { z } from "zod";

const named = <T extends z.ZodType>(of: T) => z.record(z.string(), of).default({});

/** What wrangler.toml says, as wrangler tells it (`unstable_getMiniflareWorkerOptions`). */
export const workerOptions = z.object({
  compatibilityDate: z.string(),
  compatibilityFlags: z.array(z.string()).default([]),
  bindings: named(z.string()),
  kvNamespaces: named(z.unknown()),
  durableObjects: named(z.object({ className: z.string() })),
  queueProducers: named(z.object({ queueName: z.string() })),
  queueConsumers: named(z.unknown()),
  hyperdrives: named(z.unknown()),
  ratelimits: named(z.unknown()),
});

export type Wanted = {
  readonly port: number;
  readonly options: z.output<typeof workerOptions>;
  readonly variables: Readonly<Record<string, string>>;
  readonly databaseUrl: string;
  /** Files, by their paths as seen from the configuration's own folder: the bundle, and what KV holds. */
  readonly bundle: string;
  readonly kvFile: string;
  /** Folder of `platform/`, and that of the objects' storage; absolute. */
  readonly platform: string;
  readonly storage: string;
  readonly v8Flags: readonly string[];
};

export function productionConfig(wanted: Wanted): string {
  const { port, options, databaseUrl, platform, storage, bundle, kvFile, v8Flags } = wanted;
  const { compatibilityDate, compatibilityFlags, durableObjects, queueProducers } = options;
  const classes = Object.values(durableObjects).map(({ className }) => className);
  const queues = Object.values(queueProducers).map(({ queueName }) => queueName);
  const database = new URL(databaseUrl);
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  v8Flags = [${v8Flags.map(text).join(", ")}],
  services = [
    (name = "gateway", worker = (
      modules = [(name = "index.js", esModule = embed ${text(bundle)})],
      compatibilityDate = ${text(compatibilityDate)},
      compatibilityFlags = [${compatibilityFlags.map(text).join(", ")}],
      bindings = [
        ${bindingsOf(wanted).join(",\n        ")},
      ],
      durableObjectNamespaces = [
        ${classes.map((name) => `(className = ${text(name)}, uniqueKey = ${text(`bench-${name}`)}, enableSql = true)`).join(",\n        ")},
      ],
      durableObjectStorage = (localDisk = "objects"),
    )),
    (name = "objects", disk = (path = ${text(storage)}, writable = true)),
    (name = "kv", worker = (
      modules = [(name = "kv.mjs", esModule = embed ${text(`${platform}/kv.mjs`)}), (name = "kv.json", json = embed ${text(kvFile)})],
      compatibilityDate = ${text(compatibilityDate)},
    )),
    ${queues.map((name) => queueService(name, wanted, platform)).join(",\n    ")},
    (name = "database", external = (address = ${text(database.host)}, tcp = ())),
    (name = "internet", network = (allow = ["private"])),
  ],
  extensions = [(modules = [(name = "platform:rate", internal = true, esModule = embed ${text(`${platform}/rate.mjs`)})])],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "gateway")],
);
`;
}

function bindingsOf({ options, variables, databaseUrl }: Wanted): string[] {
  const { bindings, kvNamespaces, durableObjects, queueProducers, hyperdrives, ratelimits } = options;
  const { username, password, pathname } = new URL(databaseUrl);
  const binding = (name: string, is: string): string => `(name = ${text(name)}, ${is})`;
  return [
    ...Object.entries({ ...bindings, ...variables }).map(([name, value]) => binding(name, `text = ${text(value)}`)),
    ...Object.keys(kvNamespaces).map((name) => binding(name, `kvNamespace = "kv"`)),
    ...Object.entries(durableObjects).map(([name, { className }]) =>
      binding(name, `durableObjectNamespace = ${text(className)}`),
    ),
    ...Object.entries(queueProducers).map(([name, { queueName }]) =>
      binding(name, `queue = ${text(`queue-${queueName}`)}`),
    ),
    ...Object.keys(hyperdrives).map((name) =>
      binding(
        name,
        `hyperdrive = (designator = "database", database = ${text(pathname.slice(1))}, user = ${text(username)}, password = ${text(password)}, scheme = "postgres")`,
      ),
    ),
    ...Object.keys(ratelimits).map((name) => binding(name, `wrapped = (moduleName = "platform:rate")`)),
  ];
}

function queueService(name: string, { options }: Wanted, platform: string): string {
  const consumers = JSON.stringify(options.queueConsumers);
  return `(name = ${text(`queue-${name}`)}, worker = (
      modules = [(name = "queue.mjs", esModule = embed ${text(`${platform}/queue.mjs`)})],
      compatibilityDate = ${text(options.compatibilityDate)},
      compatibilityFlags = ["service_binding_extra_handlers"],
      bindings = [
        (name = "NAME", text = ${text(name)}),
        (name = "CONSUMERS", json = ${text(consumers)}),
        (name = "GATEWAY", service = "gateway"),
        (name = "QUEUE", durableObjectNamespace = "Queue"),
      ],
      durableObjectNamespaces = [(className = "Queue", uniqueKey = ${text(`queue-${name}`)})],
      durableObjectStorage = (inMemory = void),
    ))`;
}

/** A text of Cap'n Proto, whose escapes are those of C. */
function text(value: string): string {
  return JSON.stringify(value);
}
