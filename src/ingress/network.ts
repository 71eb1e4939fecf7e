/** The network that an address stands for when it is counted. Pure. */

/**
 * An IPv4 address stands for itself; an IPv6 address for its /64, because whoever has one address of it has them all
 * (RFC 4291, 2.5.1; RFC 6177).
 *
 * @param address as the platform writes it
 */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = "", tail] = address.toLowerCase().split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length);
  const groups = [...first, ...Array<string>(zeros).fill("0"), ...last].map((group) => group.replace(/^0+(?=.)/, ""));
  return `${groups.slice(0, 4).join(":")}::/64`;
}

/** The machine itself, which is no address of the internet: behind the platform nobody has it. */
export function isLoopback(address: string): boolean {
  return address === "::1" || networkOf(address).startsWith("127.");
}
