/** What tests of instances on a real kernel share: a bridge with a DHCP server on it, and items of guests 5, 6 and 7. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import type { InstanceItem, InstanceNic } from '#hoststate/instance.ts';
import type { InstanceDriver } from '#instances/instance-driver.ts';
import { runOk } from '#instances/run.ts';

/** Makes br0 with 10.0.0.1 and fd00:6::1, and starts dnsmasq on it for guests 5, 6 and 7; `options` are more of its arguments. */
export async function startBridge(work: string, options: readonly string[] = []): Promise<ChildProcess> {
  await shell(`
    ip link add br0 type bridge
    ip link set br0 address fa:16:3e:ff:ff:ff up
    ip addr add 10.0.0.1/24 dev br0
    ip -6 addr add fd00:6::1/64 dev br0 nodad
  `);
  return spawn('dnsmasq', [
    '--no-daemon', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--port=0', '--interface=br0', '--bind-interfaces',
    '--user=root', `--dhcp-leasefile=${work}/leases`, '--dhcp-range=10.0.0.0,static,1h', '--dhcp-range=fd00:6::,static,64',
    ...[5, 6, 7].map((n) => `--dhcp-host=${mac(n)},10.0.0.${n},[fd00:6::${n}]`), ...options,
  ], { stdio: 'ignore' });
}

/** Waits until the console holds a text so many times; the whole console. */
export async function untilConsole(driver: InstanceDriver, server_id: string, text: string, times = 1, seconds = 15): Promise<string> {
  for (let waited = 0; ; waited += 10) {
    const log = await driver.consoleLog(server_id);
    if (log.split(text).length > times) return log;
    assert.ok(waited < seconds * 1000, `the console never said ${JSON.stringify(text)}:\n${log}`);
    await setTimeout(10);
  }
}

export function serverId(number: number): string {
  return `6a1f4f3e-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

export function mac(number: number): string {
  return `fa:16:3e:00:00:${String(number).padStart(2, '0')}`;
}

export function nic(number: number): InstanceNic {
  const port_id = `${String(number).padStart(11, '0')}-4000-8000`;
  return { port_id, device: `tap${port_id.slice(0, 11)}`, mac_address: mac(number), mtu: 1500 };
}

export function item(number: number, data: { user_data?: string; public_keys?: Record<string, string>; networks?: string[] } = {}): InstanceItem {
  const server_id = serverId(number);
  const hostname = `guest${number}`;
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  return {
    type: 'instance',
    server_id,
    name: hostname,
    hostname,
    project_id: 'p',
    image: 'busybox',
    vcpus: 1,
    ram: 64,
    power: 'on',
    ready: true,
    generation: 1,
    nics: [nic(number)],
    has_config_drive: true,
    config_drive: {
      'openstack/latest/meta_data.json': base64(JSON.stringify({ uuid: server_id, hostname, public_keys: data.public_keys })),
      'openstack/latest/network_data.json': base64(
        JSON.stringify({
          links: [{ id: 'l', ethernet_mac_address: mac(number) }],
          networks: (data.networks ?? ['ipv4_dhcp']).map((type) => ({ link: 'l', type })),
        }),
      ),
      ...(data.user_data !== undefined && { 'openstack/latest/user_data': base64(data.user_data) }),
    },
  };
}

export async function plug(instance: InstanceItem): Promise<void> {
  for (const { device } of instance.nics) await runOk('ip', ['link', 'set', device, 'master', 'br0']);
}

export function devices(): string[] {
  return readFileSync('/proc/self/net/dev', 'utf8').split('\n').slice(2).map((line) => line.split(':')[0]!.trim()).filter((name) => name !== '');
}

export async function shell(script: string): Promise<string> {
  return runOk('sh', ['-ec', script]);
}
