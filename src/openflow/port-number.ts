/** OpenFlow port numbers, always in the 32-bit form of OpenFlow 1.1 and later. */

/** Ports that mean something to the switch itself (OpenFlow 1.4 §7.2.1). */
export const PORT = {
  IN_PORT: 0xfffffff8,
  TABLE: 0xfffffff9,
  NORMAL: 0xfffffffa,
  FLOOD: 0xfffffffb,
  ALL: 0xfffffffc,
  CONTROLLER: 0xfffffffd,
  LOCAL: 0xfffffffe,
  ANY: 0xffffffff,
} as const;

const NAMES = new Map<number, string>(Object.entries(PORT).map(([name, port]) => [port, name]));
const PORTS = new Map<string, number>(Object.entries(PORT));

/** Parses a number or a name like `LOCAL` or `in_port`; 16-bit reserved numbers are widened. */
export function parsePort(text: string): number | undefined {
  if (!/^(\d+|0x[0-9a-f]+)$/i.test(text)) return PORTS.get(text.toUpperCase());
  const port = Number(text);
  if (port > 0xffffffff) return undefined;
  return widenPort(port);
}

/** A 16-bit reserved number (OpenFlow 1.0, and Nicira's structures) as the 32-bit one; others as they are. */
export function widenPort(port: number): number {
  return port >= 0xff00 && port <= 0xffff ? port + 0xffff0000 : port;
}

/** The number, or the name of a reserved port. */
export function formatPort(port: number): string {
  return NAMES.get(widenPort(port)) ?? String(port);
}
