/** What a bench was run on, as far as its figures depend on it. Linux says the most; elsewhere less is known. */
import { realpathSync } from "node:fs";
import { availableParallelism, cpus, release, type as system } from "node:os";
import { version } from "#scripts/production/workerd.ts";
import { readIfThere } from "#scripts/stack/state-dir.ts";

export type Machine = {
  readonly cores: number;
  readonly cpu: string;
  readonly kernel: string;
  /** What the objects' storage lies on: "ext4". Half of what a write costs. */
  readonly disk: string;
  readonly node: string;
  readonly workerd: string;
};

/** @param folder where the objects' storage lies */
export function machineOf(folder: string): Machine {
  const mounts = readIfThere("/proc/self/mountinfo");
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    kernel: `${system()} ${release()}`,
    disk: mounts === null ? "unknown" : filesystemOf(realpathSync(folder), mounts),
    node: process.versions.node,
    workerd: version,
  };
}

/**
 * The filesystem that a path lies on.
 *
 * @param mountinfo as in proc(5): the fifth field is the mount's point, the first after the dash its filesystem
 */
export function filesystemOf(path: string, mountinfo: string): string {
  const mounts = mountinfo.split("\n").flatMap((line) => {
    const [before, after] = line.split(" - ");
    const point = before?.split(" ")[4];
    const filesystem = after?.split(" ")[0];
    return point === undefined || filesystem === undefined ? [] : [{ point, filesystem }];
  });
  const holding = mounts.filter(({ point }) => point === "/" || path === point || path.startsWith(`${point}/`));
  // Of two at the same point the later one covers the other.
  const nearest = holding.reduce<{ point: string; filesystem: string } | null>(
    (best, mount) => (best === null || mount.point.length >= best.point.length ? mount : best),
    null,
  );
  return nearest?.filesystem ?? "unknown";
}
