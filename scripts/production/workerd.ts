/** workerd's program. The package is CommonJS with a member `default`, which vitest and Node import differently: required. */
import { createRequire } from "node:module";

const workerd: { readonly default: string; readonly compatibilityDate: string; readonly version: string } =
  createRequire(import.meta.url)("workerd");

export const { default: program, compatibilityDate, version } = workerd;
