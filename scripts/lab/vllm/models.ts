// GET /v1/models of a vLLM server.
import type { Machine } from "../machine.ts";

/** The model list, permissions and all. */
export function modelList({ options, startedAtMs }: Machine): unknown {
  const created = Math.floor(startedAtMs / 1000);
  return {
    object: "list",
    data: options.models.map((id, index) => ({
      id,
      object: "model",
      created,
      owned_by: "vllm",
      root: id,
      parent: null,
      max_model_len: options.contextTokens,
      permission: [
        {
          id: `modelperm-lab-${options.id}-${index}`,
          object: "model_permission",
          created,
          allow_create_engine: false,
          allow_sampling: true,
          allow_logprobs: true,
          allow_search_indices: false,
          allow_view: true,
          allow_fine_tuning: false,
          organization: "*",
          group: null,
          is_blocking: false,
        },
      ],
    })),
  };
}
