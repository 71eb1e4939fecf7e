/**
 * `npm run bench`: Causeway beside other gateways (bench/compare.ts). With `--ladder`, what each stage
 * of its path costs (bench/ladder/command.ts). With a name, one of the benches that measure a part of the gateway's own code
 * and print a table.
 */
import { compare } from "./bench/compare.ts";

const BENCHES: Readonly<Record<string, { readonly about: string; readonly run: () => Promise<unknown> }>> = {
  auth: { about: "what the door costs per credential", run: () => import("./bench/auth.ts") },
  fleet: {
    about: "what the pool's decisions cost with 10,000 waiting, and how fair they are",
    run: () => import("./bench/fleet.ts"),
  },
  ledger: { about: "what the consumer writes into Postgres per second", run: () => import("./bench/ledger.ts") },
};

const args = process.argv.slice(2);
const [name = "", ...rest] = args;
const bench = rest.length === 0 && Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
if (bench !== undefined) await bench.run();
else if (args.includes("--ladder")) process.exitCode = await (await import("./bench/ladder/command.ts")).ladder(args);
else process.exitCode = await compare(args, BENCHES);
