/** The host's ends of the guests' NICs. */

import { readFile } from 'node:fs/promises';
import type { InstanceNic } from '#hoststate/instance.ts';
import { InstanceError } from './instance-driver.ts';

/** The names of all devices in this network namespace, whatever /sys is mounted. */
export async function presentDevices(): Promise<Set<string>> {
  const lines = (await readFile('/proc/self/net/dev', 'utf8')).split('\n').slice(2);
  return new Set(lines.map((line) => line.slice(0, line.lastIndexOf(':')).trim()).filter((name) => name !== ''));
}

/** Throws when a NIC could not be plugged, before anything is made for it. */
export function checkNics(nics: readonly InstanceNic[]): void {
  for (const nic of nics) {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/.test(nic.device))
      throw new InstanceError('create_failed', `port ${nic.port_id}: ${JSON.stringify(nic.device)} is no device name`);
    if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(nic.mac_address))
      throw new InstanceError('create_failed', `port ${nic.port_id}: ${JSON.stringify(nic.mac_address)} is no MAC address`);
    if (!Number.isInteger(nic.mtu) || nic.mtu < 68 || nic.mtu > 65_535)
      throw new InstanceError('create_failed', `port ${nic.port_id}: no device has an MTU of ${nic.mtu}`);
  }
  if (new Set(nics.map((nic) => nic.device)).size !== nics.length)
    throw new InstanceError('create_failed', 'two ports have the same device name');
}
