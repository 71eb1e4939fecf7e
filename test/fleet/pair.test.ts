import { expect, test } from "vitest";
import { hostsKey, type Pair, rowKey } from "#src/fleet/pair.ts";

const pair = (host: string, servedAs = "m"): Pair => ({ host, servedAs, capacity: 4 });

test.each<{ name: string; a: Pair[]; b: Pair[]; row: boolean; hosts: boolean }>([
  { name: "the same", a: [pair("a")], b: [pair("a")], row: true, hosts: true },
  { name: "in another order", a: [pair("a"), pair("b")], b: [pair("b"), pair("a")], row: true, hosts: true },
  { name: "another name", a: [pair("a")], b: [pair("a", "n")], row: false, hosts: true },
  { name: "another host", a: [pair("a")], b: [pair("b")], row: false, hosts: false },
  { name: "one more", a: [pair("a")], b: [pair("a"), pair("b")], row: false, hosts: false },
  {
    name: "names crossed",
    a: [pair("a", "x"), pair("b", "y")],
    b: [pair("a", "y"), pair("b", "x")],
    row: false,
    hosts: true,
  },
])("$name: row $row, hosts $hosts", ({ a, b, row, hosts }) => {
  expect([rowKey(a) === rowKey(b), hostsKey(a) === hostsKey(b)]).toEqual([row, hosts]);
});

test("asking for the keys leaves the order of preference alone", () => {
  const pairs = [pair("b"), pair("a")];
  rowKey(pairs);
  hostsKey(pairs);
  expect(pairs.map(({ host }) => host)).toEqual(["b", "a"]);
});
