/** Destinations that NORMAL does not forward (lib/packets.c: eth_addr_is_reserved): link-local protocols of switches. */

const RESERVED = new Set([
  ...[0x01000ccccccc, 0x01000ccccccd, 0x01000ccdcdcd, 0x01000c000000, 0x00e02b000000, 0x00e02b000004, 0x00e02b000006],
  ...Array.from({ length: 8 }, (_, i) => 0x01000cccccc0 + i),
].map(BigInt));

export function isReservedMulticast(mac: bigint): boolean {
  return mac >> 4n === 0x0180c200000n || RESERVED.has(mac);
}
