import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DesiredDaemon, type FoundDaemon, planDaemon, printDaemonPlan } from './plan.ts';

const desired: DesiredDaemon = { program: 'radvd', folder: '/s/radvd/r', namespace: 'qrouter-r', args: ['-C', '/s/radvd/r/config', '-p', '/s/radvd/r/pid'], config: 'new\n', change: 'SIGHUP' };
const running: FoundDaemon = { process: { pid: 7, args: desired.args, elsewhere: false }, config: 'new\n', loaded: 'new\n' };
const planned = (given: Partial<FoundDaemon>, more: Partial<DesiredDaemon> = {}): string[] => printDaemonPlan(desired, planDaemon({ ...desired, ...more }, { ...running, ...given }));

test('law 2: a program that runs as it shall needs nothing', () => {
  assert.deepEqual(planned({}), []);
});

test('a program is started, told or replaced, whichever is the least that does it', () => {
  assert.deepEqual(planned({ process: null, config: undefined, loaded: undefined }), ['write /s/radvd/r/config', 'start radvd']);
  assert.deepEqual(planned({ process: null }), ['start radvd']);
  assert.deepEqual(planned({ config: 'old\n', loaded: 'old\n' }), ['write /s/radvd/r/config', 'kill -HUP radvd']);
  assert.deepEqual(planned({ config: 'old\n', loaded: 'old\n' }, { change: 'successor' }), ['write /s/radvd/r/config', 'restart radvd']);
  assert.deepEqual(planned({ loaded: 'old\n' }), ['kill -HUP radvd'], 'written, and nobody was told');
  assert.deepEqual(planned({ loaded: undefined }), ['kill -HUP radvd'], 'a change was cut short');
  assert.deepEqual(planned({}, { args: [...desired.args, '-d'] }), ['restart radvd']);
  assert.deepEqual(planned({ process: { ...running.process!, elsewhere: true } }), ['restart radvd']);
});
