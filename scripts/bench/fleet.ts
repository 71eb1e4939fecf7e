/**
 * `npm run bench -- fleet`: the pool's decisions with a line that is as long as it gets, and how fair they are. The pure
 * pool on a clock of its own: 20 hosts, 10,000 callers of whom each always waits for something.
 */
import { jain, quantile, sum } from "#scripts/chaos/statistics.ts";
import { type Decided, type LoadCaller, type PoolLoad, simulate } from "./pool-load.ts";

const CALLERS = 10_000;
const GOAL_US = 50;
const SHARES = [1, 2, 4];
/** Of whom an answer is this long; the same for each share. */
const TOKENS = [30, 60, 120];

const callers = Array.from({ length: CALLERS }, (_, nth): LoadCaller => {
  const share = SHARES[nth % SHARES.length] ?? 1;
  return { share, perSecond: null, tokens: TOKENS[Math.floor(nth / SHARES.length) % TOKENS.length] ?? 1 };
});
/** Who bears no wait, and is refused while all are full. */
const impatient: LoadCaller = { share: 1, perSecond: 10, tokens: 60, maxWaitMs: 1 };
/** 320 slots; callers come no faster than they are served, or they would be held to their shares at the door. */
const load: PoolLoad = {
  seed: 1,
  hosts: 20,
  slots: 16,
  msPerToken: 25,
  callers: [...callers, impatient],
  forMs: 600_000,
  fillMs: 120_000,
  maxWaitMs: 3_600_000,
  mayCutWait: false,
};

const tookUs = new Map<Decided, number[]>();
let [isLong, waiting] = [false, 0];
/** Times decisions from when the line is long. */
function timed<T>(decide: () => T, decidedBy: (made: T) => Decided): T {
  const beforeMs = performance.now();
  const made = decide();
  const us = (performance.now() - beforeMs) * 1_000;
  const decided = decidedBy(made);
  if (decided === "waiting") waiting++;
  isLong ||= waiting >= CALLERS;
  const times = tookUs.get(decided) ?? [];
  tookUs.set(decided, times);
  if (isLong) times.push(us);
  return made;
}

const served = simulate(load, timed);
console.log(
  `${load.hosts} hosts of ${load.slots} slots, ${served.longestLine} waiting; goal: ${GOAL_US} us a decision\n`,
);
print("decision", ["times", "p50 us", "p99 us"]);
for (const [decided, us] of [...tookUs].filter(([, times]) => times.length > 0))
  print(decided, [String(us.length), ...[0.5, 0.99].map((part) => (quantile(us, part) ?? 0).toFixed(1))]);
print("\nfairness", ["callers", "tokens", "Jain"]);
const lined = served.tokens.slice(0, CALLERS);
const of = (share: number): number[] => lined.filter((_, nth) => callers[nth]?.share === share);
for (const share of SHARES) {
  const tokens = of(share);
  print(`share ${share}`, [
    String(tokens.length),
    (sum(tokens) / sum(of(1))).toFixed(2),
    (jain(tokens) ?? 0).toFixed(3),
  ]);
}
const perShare = lined.map((tokens, nth) => tokens / (callers[nth]?.share ?? 1));
print("all, by share", [String(callers.length), "", (jain(perShare) ?? 0).toFixed(3)]);
console.log(
  `\nslots worked ${(100 * served.utilisation).toFixed(1)} % of the time, at most ${served.mostOnAHost} on a host`,
);

function print(name: string, cells: readonly string[]): void {
  console.log(`${name.padEnd(20)} ${cells.map((cell) => cell.padStart(9)).join(" ")}`);
}
