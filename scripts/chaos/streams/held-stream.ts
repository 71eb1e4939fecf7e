/** One long stream, read as it comes: how much of it came, and whether it came to its end. Keeps the text only. */
import { request } from "node:http";
import { z } from "zod";

export type Held = {
  readonly isWhole: boolean;
  /** Events with content. */
  readonly events: number;
  readonly text: string;
};

const chunk = z.object({ choices: z.array(z.object({ delta: z.object({ content: z.string().nullish() }) })) });

/** Asks on a connection of its own, and stays until the end. Never rejects. @param begun called with the first token */
export function hold(
  gateway: string,
  credential: string,
  workflow: string,
  body: Readonly<Record<string, unknown>>,
  begun: () => void,
): Promise<Held> {
  const sent = JSON.stringify(body);
  return new Promise((resolve) => {
    let [rest, text, events, isDone] = ["", "", 0, false];
    const asked = request(`${gateway}/v1/chat/completions`, {
      method: "POST",
      agent: false,
      headers: {
        authorization: `Bearer ${credential}`,
        "content-type": "application/json",
        "content-length": Buffer.byteLength(sent),
        "x-workflow-id": workflow,
      },
    });
    const over = (isWhole: boolean): void => resolve({ isWhole, events, text });
    asked.on("error", () => over(false));
    asked.on("response", (response) => {
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        const whole = (rest + part).split("\n\n");
        rest = whole.pop() ?? "";
        for (const event of whole) {
          isDone ||= event === "data: [DONE]";
          const said = contentOf(event);
          if (said === "") continue;
          events += 1;
          text += said;
          if (events === 1) begun();
        }
      });
      response.on("error", () => over(false));
      response.on("end", () => over(isDone && response.statusCode === 200));
    });
    asked.end(sent);
  });
}

function contentOf(event: string): string {
  if (!event.startsWith("data: {")) return "";
  const parsed = chunk.safeParse(JSON.parse(event.slice("data: ".length)));
  return parsed.success ? (parsed.data.choices[0]?.delta.content ?? "") : "";
}
