import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { InstanceItem } from '#hoststate/instance.ts';
import type { InstanceReport } from '#protocol/messages.ts';
import { InstanceManager, type InstancePort } from './instance-manager.ts';

const item = (server_id: string, given: Partial<InstanceItem> = {}): InstanceItem => ({
  type: 'instance', server_id, name: server_id, hostname: server_id, project_id: 'p', image: 'busybox', vcpus: 1, ram: 64, power: 'on', ready: true, generation: 0, nics: [], config_drive: {}, has_config_drive: true, ...given,
});

/** A driver in memory that takes a moment for everything, as programs do. */
function fakeHost() {
  const held = new Map<string, { state: 'created' | 'running' | 'stopped'; generation: number; nics?: InstanceItem['nics'] }>();
  const calls: string[] = [];
  const reports: InstanceReport[] = [];
  let trouble = 0;
  const slow = async (call: string): Promise<void> => {
    calls.push(call);
    await delay(5);
    if (trouble > 0 && call.startsWith('create')) throw new Error(`trouble ${trouble--}`);
  };
  const driver: InstancePort = {
    async list() {
      // What it tells is as old as its beginning.
      const found = [...held].map(([server_id, { state, generation, nics = [] }]) => ({ server_id, state, generation, nics }));
      await delay(20);
      return found;
    },
    async create({ server_id, generation }) {
      await slow(`create ${server_id}`);
      held.set(server_id, { state: 'created', generation });
    },
    async start(id) {
      await slow(`start ${id}`);
      held.set(id, { ...held.get(id)!, state: 'running' });
    },
    stop: (id) => slow(`stop ${id}`),
    remove: (id) => slow(`remove ${id}`),
    addNic: async () => {},
    removeNic: async () => {},
  };
  const manager = new InstanceManager({ driver, plugger: { plug: async () => {}, unplug: async (device) => void calls.push(`unplug ${device}`) }, report: (report) => reports.push(report), log: () => {}, retryMs: 5 });
  const idle = async (): Promise<void> => {
    while (!manager.idle) await delay(1);
  };
  return { manager, calls, reports, held, idle, fail: (times: number) => void (trouble = times) };
}

test('two instances of one snapshot are made once each, whatever is said of them later', async () => {
  const { manager, calls, idle } = fakeHost();
  manager.update([item('a'), item('b')], []);
  await idle();
  manager.update([item('a', { name: 'new' }), item('b', { name: 'new' })], []);
  await idle();
  assert.deepEqual(calls.toSorted(), ['create a', 'create b', 'start a', 'start b']);
});

test('an instance that starts while the instances are listed has not ended', async () => {
  const { manager, reports, idle } = fakeHost();
  manager.update([item('a', { ready: false })], []);
  await idle();
  const checked = manager.check();
  manager.update([item('a')], []);
  await checked;
  await idle();
  await manager.check();
  assert.deepEqual(reports.map(({ state }) => state), ['running']);
});

test('one that ended by itself is told once, and stays ended', async () => {
  const { manager, reports, held, calls, idle } = fakeHost();
  manager.update([item('a')], []);
  await idle();
  held.set('a', { state: 'stopped', generation: 0 });
  await manager.check();
  await manager.check();
  manager.update([item('a', { name: 'new' })], []);
  await idle();
  assert.deepEqual([reports.map(({ state }) => state), calls], [['running', 'ended'], ['create a', 'start a']]);
});

test('the taps that a machine leaves behind when it ends by itself are unplugged and taken away, once', async () => {
  const { manager, reports, held, calls, idle } = fakeHost();
  const nic = { port_id: 'p', device: 'tap-p', mac_address: 'fa:16:3e:00:00:01', mtu: 1500 };
  manager.update([item('a')], []);
  await idle();
  held.set('a', { state: 'stopped', generation: 0, nics: [nic] });
  await manager.check();
  for (const name of ['off', 'still off']) {
    manager.update([item('a', { name, power: 'off' })], []);
    await idle();
  }
  assert.deepEqual([reports.map(({ state }) => state), calls], [['running', 'ended', 'stopped', 'stopped'], ['create a', 'start a', 'unplug tap-p', 'stop a']]);
});

test('what fails is tried again: a moment without Open vSwitch is no error, a lasting one is told and ends with its cause', async () => {
  const { manager, reports, fail } = fakeHost();
  fail(1);
  manager.update([item('a')], []);
  while (reports.length === 0) await delay(1);
  assert.deepEqual(reports.map(({ state }) => state), ['running']);
  fail(3);
  manager.update([item('b')], []);
  while (reports.at(-1)!.state !== 'running' || reports.at(-1)!.server_id !== 'b') await delay(1);
  assert.deepEqual(reports.slice(1).map(({ state, reason }) => [state, reason]), [['error', 'trouble 2'], ['error', 'trouble 1'], ['running', undefined]]);
});

test('a deleted instance that could not be made is not tried again', async () => {
  const { manager, calls, fail, idle } = fakeHost();
  await manager.inSync();
  fail(1);
  manager.update([item('a')], []);
  await idle();
  manager.update([], ['instance/a']);
  await delay(50);
  assert.deepEqual(calls, ['create a']);
});
