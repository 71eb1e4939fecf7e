/** `npm run bench -- NAME`: runs one of the benches. Each measures the gateway's own code and prints a table. */
import { argv } from "node:process";

const BENCHES: Readonly<Record<string, { readonly about: string; readonly run: () => Promise<unknown> }>> = {
  auth: { about: "what the door costs per credential", run: () => import("./bench/auth.ts") },
  fleet: {
    about: "what the pool's decisions cost with 10,000 waiting, and how fair they are",
    run: () => import("./bench/fleet.ts"),
  },
  ledger: { about: "what the consumer writes into Postgres per second", run: () => import("./bench/ledger.ts") },
};

const args = argv.slice(2);
const [name = "", ...rest] = args;
const bench = rest.length === 0 ? BENCHES[name] : undefined;
if (args.includes("--ladder")) {
  process.exitCode = await (await import("./bench/ladder/command.ts")).ladder(args);
} else if (bench === undefined) {
  for (const [known, { about }] of Object.entries(BENCHES))
    console.error(`npm run bench -- ${known.padEnd(8)} ${about}`);
  process.exitCode = 2;
} else {
  await bench.run();
}
