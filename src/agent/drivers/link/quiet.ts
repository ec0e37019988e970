/**
 * Keeps the host's own stack from answering on a device that userspace OVS reads: the kernel reads it too. Without IPv6,
 * answering no ARP, and with strict reverse path filtering, nothing of the host can be reached through it.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const SETTINGS = [['ipv6', 'disable_ipv6', '1'], ['ipv4', 'arp_ignore', '8'], ['ipv4', 'rp_filter', '1']] as const;

export function quieten(device: string): void {
  for (const [family, name, value] of SETTINGS) {
    try {
      writeFileSync(pathOf(family, device, name), value);
    } catch {
      // A device of another kind, or one that has gone: nothing answers there.
    }
  }
}

export function isQuiet(device: string): boolean {
  return SETTINGS.every(([family, name, value]) => {
    try {
      return readFileSync(pathOf(family, device, name), 'utf8').trim() === value;
    } catch {
      return true;
    }
  });
}

function pathOf(family: string, device: string, name: string): string {
  return `/proc/sys/net/${family}/conf/${device}/${name}`;
}
