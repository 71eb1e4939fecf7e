/** One caller and its question, on a connection of its own: what it saw of the gateway. Judges nothing. */
import { request } from "node:http";
import { type Question, WORKFLOW_HEADER, WORKFLOW_PREFIX } from "./question.ts";

export type Sent = {
  readonly question: Question;
  /** Null when the connection was lost, or the caller left, before the first byte. */
  readonly status: number | null;
  /** Left: the caller did. Lost: the connection was. Broken: the answer ended in an error event. */
  readonly end: "whole" | "broken" | "left" | "lost";
};

/** Longer than any answer may take (the catalog's deadlines). */
const PATIENCE_MS = 90_000;

/** Asks, and stays as long as the question says. @returns null when nobody listened: then nothing was sent */
export function ask(gateway: string, credential: string, question: Question): Promise<Sent | null> {
  const body = JSON.stringify(question.body);
  const headers = {
    authorization: `Bearer ${credential}`,
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    [WORKFLOW_HEADER]: `${WORKFLOW_PREFIX}${question.number}`,
  };
  return new Promise((resolve) => {
    let status: number | null = null;
    let text = "";
    const asked = request(gateway + question.path, { method: "POST", agent: false, headers, timeout: PATIENCE_MS });
    const settle = (end: Sent["end"]): void => {
      clearTimeout(leaving);
      asked.destroy();
      resolve({ question, status, end });
    };
    const { leavesAfterMs } = question;
    const leaving = leavesAfterMs === null ? undefined : setTimeout(() => settle("left"), leavesAfterMs);
    asked.on("timeout", () => settle("lost"));
    asked.on("error", (error) => {
      if (!("code" in error && error.code === "ECONNREFUSED")) return settle("lost");
      clearTimeout(leaving);
      resolve(null);
    });
    asked.on("response", (response) => {
      status = response.statusCode ?? null;
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
      });
      response.on("error", () => settle("lost"));
      response.on("end", () => settle(isWhole(question, status, text) ? "whole" : "broken"));
    });
    asked.end(body);
  });
}

function isWhole({ stream }: Question, status: number | null, text: string): boolean {
  return status === 200 && (!stream || text.trimEnd().endsWith("data: [DONE]"));
}
