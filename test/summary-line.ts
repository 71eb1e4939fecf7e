import type { Reporter, TestModule } from "vitest/node";

/** Ends the run with one plain line, `N passed, N failed`, that any CI can read. */
export class SummaryLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string): number => tests.filter((test) => test.result().state === state).length;
    // A file that fails before its first test has no test to count.
    const brokenFiles = modules.filter((module) => module.errors().length > 0).length;
    process.once("exit", () => console.log(`${count("passed")} passed, ${count("failed") + brokenFiles} failed`));
  }
}
