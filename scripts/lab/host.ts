// One lab host: an HTTP server on loopback that plays an inference engine. It owns the sockets and the order in which a
// request is looked at: control, journal, faults, key, route.
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { control } from "./control.ts";
import { type Dialect, dialectOf } from "./dialect.ts";
import type { Exchange } from "./exchange.ts";
import { isRequestFault } from "./faults.ts";
import { isJson, type Json } from "./fields.ts";
import { readForm } from "./form.ts";
import { closed, KEEP_ALIVE_MS, listen } from "./listen.ts";
import { buildMachine, type Machine } from "./machine.ts";
import type { LabHostOptions } from "./options.ts";
import { strike } from "./request-fault.ts";
import { replyJson } from "./whole-reply.ts";

/** Above any prompt a test would send; the engines themselves have no limit. */
const MOST_BODY_BYTES = 64 * 1024 * 1024;

export interface LabHost {
  readonly id: string;
  readonly url: string;
  readonly port: number;
  /** Closes the port and every connection; resolves when both are gone. */
  stop(): Promise<void>;
}

/**
 * Starts a host.
 * @throws Error with `code` and `port` when it cannot listen (EADDRINUSE: the port is taken)
 */
export async function startLabHost(options: LabHostOptions): Promise<LabHost> {
  const machine = buildMachine(options, Date.now);
  const dialect = dialectOf(options);
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0 }, (req, res) => {
    serve(machine, dialect, req, res).catch((problem: unknown) => {
      if (res.headersSent) res.destroy();
      else dialect.problem(res, problem);
    });
  });
  const port = await listen(server, options.port);
  return {
    id: options.id,
    url: `http://127.0.0.1:${port}`,
    port,
    stop: () => {
      machine.scheduler.close();
      return closed(server);
    },
  };
}

async function serve(machine: Machine, dialect: Dialect, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { pathname: path, searchParams: query } = new URL(req.url ?? "/", "http://lab");
  const method = req.method ?? "GET";
  const bytes = await readBody(req);
  if (res.destroyed) return;
  const form = await readForm(req.headers["content-type"], bytes);
  const raw = form === null ? bytes.toString("utf8") : JSON.stringify(form.fields);
  const body = raw === "" ? {} : parse(raw);
  if (path.startsWith("/lab/")) {
    if (body === null) replyJson(res, 400, { error: "the body is not a JSON object" });
    else control(machine, res, method, path, body);
    return;
  }
  const file = form?.file ?? null;
  const sent = file === null ? {} : { file: { name: file.name, type: file.type, bytes: file.bytes.length } };
  machine.journal.note(
    { method, path, headers: req.headers, body: body === null ? raw : { ...body, ...sent } },
    machine.now(),
  );
  const inference = method === "POST" && dialect.inference.has(path) && dialect.routes[path] !== undefined;
  const model = typeof body?.model === "string" ? body.model : undefined;
  const fault = inference ? machine.faults.take(model) : machine.faults.onProbe(path.endsWith("/health"));
  if (fault !== null && (isRequestFault(fault) || !inference)) {
    strike(res, fault, dialect.faultBodies);
    return;
  }
  const header = req.headers["x-request-id"];
  const requestId = typeof header === "string" && header !== "" ? header : randomBytes(16).toString("hex");
  const exchange: Exchange = { req, res, method, path, query, body: body ?? {}, file, requestId, fault };
  route(machine, dialect, exchange, body === null);
}

function route(machine: Machine, dialect: Dialect, exchange: Exchange, badJson: boolean): void {
  const { req, res, path, method } = exchange;
  const { apiKey } = machine.options;
  if (req.headers.origin !== undefined && machine.options.engine === "llamacpp")
    res.setHeader("access-control-allow-origin", req.headers.origin);
  const found = Object.hasOwn(dialect.routes, path) ? dialect.routes[path] : undefined;
  if (apiKey !== undefined && dialect.guards(path) && !holds(req, apiKey)) dialect.unauthorized(res);
  else if (found === undefined) dialect.notFound(res);
  else if (method !== found.method && !(method === "HEAD" && found.method === "GET"))
    dialect.wrongMethod(res, found.method);
  else if (badJson) dialect.badJson(res);
  else
    attempt(
      () => found.run(machine, exchange),
      (problem) => dialect.problem(res, problem),
    );
}

function attempt(run: () => void, failed: (problem: unknown) => void): void {
  try {
    run();
  } catch (problem) {
    failed(problem);
  }
}

function holds(req: IncomingMessage, apiKey: string): boolean {
  return req.headers.authorization === `Bearer ${apiKey}` || req.headers["x-api-key"] === apiKey;
}

async function readBody(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req) {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
    size += bytes.length;
    if (size > MOST_BODY_BYTES) throw new Error(`the body is larger than ${MOST_BODY_BYTES} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

/** null for what is no JSON object. */
function parse(raw: string): Json | null {
  try {
    const value: unknown = JSON.parse(raw);
    return isJson(value) ? value : null;
  } catch {
    return null;
  }
}
