// Which engine a host plays: its routes, its way to refuse, what its key protects. The one place that knows both.
import type { ServerResponse } from "node:http";
import type { Exchange } from "./exchange.ts";
import {
  LLAMACPP_FAULTS,
  refuse as refuseLlama,
  refuseJson as refuseLlamaJson,
  refuseProblem,
} from "./llamacpp/errors.ts";
import { LLAMACPP_INFERENCE, LLAMACPP_ROUTES } from "./llamacpp/routes.ts";
import type { Machine } from "./machine.ts";
import type { LabHostOptions } from "./options.ts";
import type { FaultBodies } from "./request-fault.ts";
import { refuseKey, refuse as refuseVllm, refuseJson as refuseVllmJson, VLLM_FAULTS } from "./vllm/errors.ts";
import { VLLM_INFERENCE, VLLM_ROUTES, vllmProblem } from "./vllm/routes.ts";

export interface Dialect {
  readonly routes: Readonly<
    Record<string, { readonly method: string; run(machine: Machine, exchange: Exchange): void }>
  >;
  readonly inference: ReadonlySet<string>;
  readonly faultBodies: FaultBodies;
  /** Paths that need the host's key, where it has one. */
  guards(path: string): boolean;
  unauthorized(res: ServerResponse): void;
  notFound(res: ServerResponse): void;
  wrongMethod(res: ServerResponse, allow: string): void;
  badJson(res: ServerResponse): void;
  problem(res: ServerResponse, problem: unknown): void;
}

const VLLM: Dialect = {
  routes: VLLM_ROUTES,
  inference: VLLM_INFERENCE,
  faultBodies: VLLM_FAULTS,
  guards: (path) => path.startsWith("/v1"),
  unauthorized: refuseKey,
  notFound: (res) => refuseVllm(res, { status: 404, type: "Not Found", message: "Not Found" }),
  wrongMethod: (res, allow) => {
    res.setHeader("allow", allow);
    refuseVllm(res, { status: 405, type: "Method Not Allowed", message: "Method Not Allowed" });
  },
  badJson: refuseVllmJson,
  problem: vllmProblem,
};

const LLAMACPP: Dialect = {
  routes: LLAMACPP_ROUTES,
  inference: LLAMACPP_INFERENCE,
  faultBodies: LLAMACPP_FAULTS,
  guards: (path) => path !== "/health" && path !== "/v1/health",
  unauthorized: (res) => refuseLlama(res, "authentication_error", "Invalid API Key"),
  notFound: (res) => refuseLlama(res, "not_found_error", "File Not Found"),
  // Its HTTP library has routes per method: a wrong method is an unknown route.
  wrongMethod: (res) => refuseLlama(res, "not_found_error", "File Not Found"),
  badJson: refuseLlamaJson,
  problem: refuseProblem,
};

/** The dialect of a host; a native-only llama.cpp has no /v1. */
export function dialectOf({ engine, nativeOnly }: LabHostOptions): Dialect {
  if (engine === "vllm") return VLLM;
  if (!nativeOnly) return LLAMACPP;
  const routes = Object.fromEntries(Object.entries(LLAMACPP.routes).filter(([path]) => !path.startsWith("/v1/")));
  return { ...LLAMACPP, routes };
}
