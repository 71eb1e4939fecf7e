/** Types what `cloudflare:workers` hands to tests: `env` as the Worker's own bindings, `exports` as its entry points. */
import type { Env as Bindings } from "#src/env.ts";

declare global {
  namespace Cloudflare {
    interface Env extends Bindings {}
    interface GlobalProps {
      mainModule: typeof import("#src/index.ts");
    }
  }
}
