/** Who may stand in the bench: what the command line calls them, and what tables do. In the order of the tables. */
export const CONTESTANTS = {
  direct: "direct",
  nginx: "nginx",
  bare: "bare workerd",
  causeway: "Causeway",
  "portkey-workerd": "Portkey on workerd",
  portkey: "Portkey on Node",
  litellm: "LiteLLM",
  bifrost: "Bifrost",
} as const;

export type ContestantKey = keyof typeof CONTESTANTS;

export const CONTESTANT_KEYS = Object.keys(CONTESTANTS).filter(isContestantKey);

export function isContestantKey(text: string): text is ContestantKey {
  return Object.hasOwn(CONTESTANTS, text);
}
