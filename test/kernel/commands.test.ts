/** `patchbay up` and its neighbours as processes, with fakes for controller and agent. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { downDataCentre } from '#cli/datacentre/datacentre.ts';
import { runOnHost } from '#cli/datacentre/host.ts';
import { endProcesses, processesWithEnvironment } from '#cli/datacentre/process.ts';
import { runningProcess } from '#cli/datacentre/state-folder.ts';
import { readSettings } from '#cli/settings.ts';
import { up } from '#cli/up.ts';

const PATCHBAY = fileURLToPath(new URL('../../patchbay', import.meta.url));
const entry = { server: fileURLToPath(new URL('fakes/controller.ts', import.meta.url)), agent: fileURLToPath(new URL('fakes/agent.ts', import.meta.url)) };
const folder = mkdtempSync(join(tmpdir(), 'patchbay-commands-'));
const state = join(folder, 'state');
const listen = '127.0.0.1:18770';

after(async () => {
  await downDataCentre(state, { purge: true });
  rmSync(folder, { recursive: true, force: true });
});

function patchbay(...argv: string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(PATCHBAY, ['--state', state, ...argv], { encoding: 'utf8', cwd: folder });
  return { code: status, stdout, stderr };
}

test('wrong input is one line on stderr, and nothing is made', async () => {
  const refused = (code: number, line: RegExp, ...argv: string[]) => {
    const result = patchbay(...argv);
    assert.match(result.stderr, line);
    assert.match(result.stderr, /^[^\n]+\n$/, 'one line');
    assert.equal(result.stdout, '');
    assert.equal(result.code, code);
  };
  const config = join(folder, 'config.yaml');
  const withConfig = (text: string) => (writeFileSync(config, text), ['up', '--config', config]);
  refused(2, /^patchbay up: unknown option '--nonsense'; see/, 'up', '--nonsense');
  refused(2, /^patchbay: no command 'upp'/, 'upp');
  refused(2, /^patchbay up: --hosts takes a number from 1 to 200, not 0/, 'up', '--hosts', '0');
  refused(2, /^patchbay up: --listen takes ADDR:PORT/, 'up', '--listen', '8770');
  refused(1, /^patchbay up: config .*missing.yaml: no such file/, 'up', '--config', join(folder, 'missing.yaml'));
  refused(1, /^patchbay up: config: unknown option 'vni_range'/, ...withConfig('vni_range: [1:2]\n'));
  refused(1, /^patchbay up: config: not valid YAML/, ...withConfig('vni_ranges: [1:2\n'));
  refused(1, /^patchbay up: 203\.0\.113\.77 is no address of this machine/, 'up', '--listen', '203.0.113.77:8770');
  refused(1, /^patchbay status: the controller is not running/, 'status');
  refused(1, /^patchbay host: host compute1 is not running/, 'host', 'compute1', '--', 'true');
  refused(1, /^patchbay openrc: there are no credentials yet/, 'openrc', 'admin');
  refused(2, /^patchbay exec: the command is missing/, 'exec', 'vm1');
  const taken = createServer().listen(18771, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  refused(1, /^patchbay up: 127\.0\.0\.1:18771 is taken by another program/, 'up', '--listen', '127.0.0.1:18771');
  taken.close();
  assert.deepEqual(readdirSync(folder), ['config.yaml']);
});

test('without root up is refused in one line', () => {
  // Not root, and yet able to read a clone below /root.
  const { status, stderr } = spawnSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search', PATCHBAY, 'up'], { encoding: 'utf8', cwd: '/' });
  assert.equal(stderr, 'patchbay up: up needs root: it makes network namespaces; try sudo\n');
  assert.equal(status, 1);
});

test('a controller that ends at once is reported with its last words and leaves nothing running', async () => {
  writeFileSync(join(folder, 'broken.yaml'), 'region_name: Broken\n');
  const settings = readSettings({ state, configFile: join(folder, 'broken.yaml'), listen, hosts: 1 });
  await assert.rejects(up(settings, { entry }), { message: `controller ended: the store cannot be opened; see ${state}/log/controller.jsonl` });
  assert.deepEqual(processesWithEnvironment(`PATCHBAY_PROCESS_OF=${state}`), []);
  await downDataCentre(state, { purge: true });
});

test('up starts controller, hosts and agents; again it is a no-op; the commands answer', async () => {
  const settings = readSettings({ state, listen, hosts: 2 });
  const steps: string[] = [];
  assert.equal(await up(settings, { entry, progress: (step) => steps.push(step) }), 'started');
  assert.deepEqual(steps.toSorted(), [
    'agents started: 2', 'all hosts are ready', 'compute1, compute2: Open vSwitch runs', 'controller answers at http://127.0.0.1:18770',
    'controller started', 'fabric: physnet, underlay, mgmt; outside: 172.16.0.1',
  ]);
  assert.equal(await up(settings, { entry }), 'already');
  const again = patchbay('up');
  assert.deepEqual([again.code, again.stdout, again.stderr], [0, 'already up at http://127.0.0.1:18770 with compute1 compute2; nothing to do\n', '']);
  assert.match(patchbay('up', '--hosts', '1').stderr, /it runs with 2 hosts; `patchbay down` first/);
  assert.match(patchbay('up', '--listen', '127.0.0.1:18779').stderr, /it runs with another listen; `patchbay down` first/);

  const status = patchbay('status');
  assert.match(status.stdout, /^compute2 +alive +5 +0 +0$/m);
  assert.equal(status.code, 0);
  assert.equal((JSON.parse(patchbay('status', '--json').stdout) as { hosts: unknown[] }).hosts.length, 2);
  assert.equal(patchbay('wait').code, 0);
  const late = patchbay('wait', '--timeout', '1');
  assert.deepEqual([late.code, late.stderr], [1, 'patchbay wait: not all hosts have applied revision 5 after 1 s: compute2 has applied 3\n']);
  assert.match(patchbay('openrc', 'demo').stdout, /^export OS_AUTH_URL='http:\/\/127\.0\.0\.1:18770\/identity\/v3'$/m);
  assert.equal(patchbay('exec', 'nobody', '--', 'true').stderr, "patchbay exec: no server 'nobody'\n");
  assert.match(patchbay('logs', '--request', 'req-compute2').stdout, /^\{"source":"compute2",[^\n]*\n$/);
});

test('host runs a command there: its output, exit code, folder and own API address', async () => {
  assert.equal(patchbay('host', 'compute2', '--', 'hostname').stdout, 'compute2\n');
  assert.equal(patchbay('host', 'compute2', '--', 'pwd').stdout, `${folder}\n`);
  assert.equal(patchbay('host', 'compute1', '--', 'sh', '-c', 'exit 7').code, 7);
  assert.equal(patchbay('host', 'compute1', '--', 'no-such-program').code, 127);
  for (const host of ['compute1', 'outside']) {
    assert.equal(patchbay('host', host, '--', 'curl', '-sS', 'http://127.0.0.1:18770/').stdout, `{"versions":[],"at":"${listen}"}`);
  }
});

test('an agent or a controller that died is started again, the hosts stay', async () => {
  const init = runningProcess(state, 'compute1');
  await endProcesses([runningProcess(state, 'compute1-agent')!, runningProcess(state, 'controller')!]);
  assert.match(patchbay('status').stderr, /the controller is not running; `patchbay up` starts it \(hosts that run: compute1 compute2\)/);
  assert.equal(await up(readSettings({ state }), { entry }), 'started');
  assert.deepEqual(runningProcess(state, 'compute1'), init);
});

test('up with more hosts adds them to a running data centre', async () => {
  assert.equal(await up(readSettings({ state, hosts: 3 }), { entry }), 'started');
  assert.match(await runOnHost(state, 'compute3', ['ping', '-c', '2', '-i', '0.2', '192.168.2.21']), /[12] received/);
});

test('down stops all and keeps the folder, --purge removes it; both say when there is nothing to do', () => {
  const down = patchbay('down');
  assert.deepEqual([down.code, down.stderr], [0, '']);
  assert.match(down.stdout, /hosts, fabric and outside ended\n +controller ended/);
  assert.deepEqual(processesWithEnvironment(`PATCHBAY_PROCESS_OF=${state}`), []);
  assert.equal(existsSync(join(state, 'credentials.json')), true);
  assert.equal(patchbay('down').stdout, 'nothing to do: it was down\n');
  assert.equal(patchbay('down', '--purge').code, 0);
  assert.equal(existsSync(state), false);
  assert.equal(patchbay('down', '--purge').stdout, `nothing to do: ${state} holds no data centre\n`);
});
