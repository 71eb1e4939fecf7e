// From a chat body to the string the model sees, as vLLM renders it. Pure.
import { BadField, flag, type Json } from "../fields.ts";
import { readMessages, toolsOf, wantsGenerationPrompt } from "../prompts.ts";
import { render } from "../template.ts";

/**
 * The one prompt of a chat body (`messages`, `tools`, `continue_final_message`, `add_generation_prompt`). A final message
 * that is to be continued may be anyone's: neither vLLM nor the template library below it looks at its role.
 *
 * @param trims the template trims contents, also that of the message to continue
 * @throws BadField when both are wanted: by vLLM's own check where both are said, and by the library's where
 * `add_generation_prompt` is left at its default
 */
export function chatPrompt(body: Json, trims: boolean): string {
  const messages = readMessages(body);
  const continueFinal = flag(body, "continue_final_message");
  const generationPrompt = wantsGenerationPrompt(body);
  if (continueFinal && generationPrompt)
    throw new BadField(
      "continue_final_message",
      body.add_generation_prompt === undefined
        ? "continue_final_message and add_generation_prompt are not compatible. Use continue_final_message when you " +
            "want the model to continue the final message, and add_generation_prompt when you want to add a header " +
            "that will prompt it to start a new assistant message instead."
        : "Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
    );
  return render(messages, { continueFinal, generationPrompt, trims, tools: toolsOf(body) });
}
