/** Ranges of 16-bit transport ports as OpenFlow value/mask pairs. */

export interface MaskedPort {
  readonly value: number;
  /** 0xffff matches one port exactly. */
  readonly mask: number;
}

/**
 * The fewest value/mask pairs that cover `first`..`last` (both in it, 0..65535): at most 30.
 * Open vSwitch matches a port range only this way.
 */
export function maskedPorts(first: number, last: number): MaskedPort[] {
  const pairs: MaskedPort[] = [];
  let value = first;
  while (value <= last) {
    let size = value === 0 ? 0x10000 : value & -value;
    while (value + size - 1 > last) size >>= 1;
    pairs.push({ value, mask: 0x10000 - size });
    value += size;
  }
  return pairs;
}
