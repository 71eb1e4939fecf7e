import { describe, expect, test } from "vitest";
import { busySlots, servedNames, totalSlots } from "#src/fleet/engine-facts.ts";

const json = JSON.stringify;

describe("what an engine tells of itself", () => {
  test.each<{ name: string; text: string; names: string[] | null }>([
    {
      name: "vLLM's list, with an adapter",
      text: json({
        object: "list",
        data: [
          { id: "org/M", object: "model", created: 1, owned_by: "vllm", root: "org/M", max_model_len: 131_072 },
          { id: "my-lora", object: "model", parent: "org/M" },
        ],
      }),
      names: ["org/M", "my-lora"],
    },
    {
      name: "llama.cpp's, whose name is a file, beside the same in another protocol's words",
      text: json({
        models: [{ name: "/models/l.gguf", model: "/models/l.gguf", type: "model" }],
        object: "list",
        data: [{ id: "/models/l.gguf", object: "model", created: 1, owned_by: "llamacpp", meta: null }],
      }),
      names: ["/models/l.gguf"],
    },
    { name: "none at all", text: json({ object: "list", data: [] }), names: [] },
    { name: "a first page", text: json({ data: [{ id: "a" }], has_more: true }), names: null },
    { name: "the only page", text: json({ data: [{ id: "a" }], has_more: false }), names: ["a"] },
    { name: "a model without a name", text: json({ data: [{ id: "a" }, { object: "model" }] }), names: null },
    { name: "an error", text: json({ error: "Unauthorized" }), names: null },
    { name: "half a list", text: '{"object":"list","data":[{"id":"a"},{"i', names: null },
    { name: "no JSON", text: "<html>", names: null },
    { name: "null", text: "null", names: null },
  ])("names: $name", ({ text, names }) => {
    expect(servedNames(text)).toEqual(names);
  });

  test.each<{ name: string; text: string; slots: number | null }>([
    { name: "llama.cpp's", text: json({ default_generation_settings: { n_ctx: 4096 }, total_slots: 2 }), slots: 2 },
    { name: "none", text: json({ total_slots: 0 }), slots: null },
    { name: "a part of one", text: json({ total_slots: 1.5 }), slots: null },
    { name: "more than there can be", text: json({ total_slots: 1e9 }), slots: null },
    { name: "as text", text: json({ total_slots: "2" }), slots: null },
    { name: "an error", text: json({ error: { code: 400, message: "model name is missing" } }), slots: null },
  ])("slots: $name", ({ text, slots }) => {
    expect(totalSlots(text)).toBe(slots);
  });

  test.each<{ name: string; text: string; busy: number | null }>([
    {
      name: "one of two",
      text: json([
        { id: 0, id_task: 7, n_ctx: 4096, is_processing: true, params: {}, next_token: [{ n_decoded: 3 }] },
        { id: 1, n_ctx: 4096, is_processing: false },
      ]),
      busy: 1,
    },
    { name: "none", text: json([{ id: 0, is_processing: false }]), busy: 0 },
    { name: "an older build's, by number", text: json([{ id: 0, state: 1 }]), busy: null },
    { name: "no slots", text: "[]", busy: null },
    { name: "switched off", text: json({ error: { code: 501, type: "not_supported_error" } }), busy: null },
  ])("slots at work: $name", ({ text, busy }) => {
    expect(busySlots(text)).toBe(busy);
  });
});
