/** The machine's monotonic clock in whole µs: the same for every process, so a stamp of one can be read by another. */
export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}
