import { expect, test } from "vitest";
import { isLoopback, networkOf } from "#src/ingress/network.ts";

test.each([
  { address: "203.0.113.7", network: "203.0.113.7" },
  { address: "2001:db8:1:2:3:4:5:6", network: "2001:db8:1:2::/64" },
  { address: "2001:DB8:1:2::6", network: "2001:db8:1:2::/64" },
  { address: "2001:0db8:0001:0002::", network: "2001:db8:1:2::/64" },
  { address: "2001:db8::1", network: "2001:db8:0:0::/64" },
  { address: "::1", network: "0:0:0:0::/64" },
  { address: "::ffff:203.0.113.7", network: "203.0.113.7" },
])("$address counts as $network", ({ address, network }) => {
  expect(networkOf(address)).toBe(network);
});

test.each([
  { address: "127.0.0.1", loopback: true },
  { address: "127.9.9.9", loopback: true },
  { address: "::1", loopback: true },
  { address: "::ffff:127.0.0.1", loopback: true },
  { address: "128.0.0.1", loopback: false },
  { address: "::2", loopback: false },
])("$address is the machine itself: $loopback", ({ address, loopback }) => {
  expect(isLoopback(address)).toBe(loopback);
});
