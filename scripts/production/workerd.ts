/** workerd's program. The package is CommonJS with a member `default`, which vitest and Node import differently: required. */
import { createRequire } from "node:module";

const workerd: { readonly default: string; readonly compatibilityDate: string; readonly version: string } =
  createRequire(import.meta.url)("workerd");

export const { default: program, compatibilityDate, version } = workerd;

/** What a workerd is given besides, so that its inspector tells what its isolates hold. */
export type Weighable = { readonly args: readonly string[]; readonly v8Flags: readonly string[] };

/** @param inspectorPort where its inspector listens; null for one that is not weighed */
export function weighable(inspectorPort: number | null): Weighable {
  if (inspectorPort === null) return { args: [], v8Flags: [] };
  return { args: [`--inspector-addr=127.0.0.1:${inspectorPort}`], v8Flags: ["--expose-gc"] };
}
