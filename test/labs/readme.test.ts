/** The tour of README.md, typed as it stands there: each command in its order, in one shell, with its exit code and what it must show. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { downDataCentre } from '#cli/datacentre/datacentre.ts';
import { tourCommands } from './tour-commands.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'patchbay-tour-'));
const state = join(folder, 'state');
const commands = tourCommands(readFileSync(join(ROOT, 'README.md'), 'utf8'));

/** What the output of a command must hold, by how the command begins. Each must be used: a tour that was changed changes this list. */
const SHOWS: readonly (readonly [begin: string, ...wanted: RegExp[]])[] = [
  ['./patchbay up', /Patchbay is up at http:/],
  ['openstack network list', /\| external \|/],
  ['openstack network create', /mtu +\| 1450/],
  ['openstack subnet create', /gateway_ip +\| 10\.0\.0\.1 /, /10\.0\.0\.2-10\.0\.0\.254/],
  ['openstack server list ', /172\.16\.0\.5/, /vm4/],
  ['openstack server list', /my-net=10\.0\.0\.3/, /my-net=10\.0\.0\.4/],
  ['./patchbay exec vm1 -- ping -c 3 10', /3 received/],
  ['./patchbay exec vm1 -- ping -c 3 vm2', /3 received/],
  ['./patchbay exec vm1 -- curl', /"hostname": ?"vm1\.novalocal"/],
  ['openstack router create', /status +\| ACTIVE/],
  ['./patchbay exec vm2 -- ping', /3 received/],
  ['./patchbay exec vm2 -- curl', /world outside/],
  ['openstack floating ip create', /floating_ip_address +\| 172\.16\.0\.4 /],
  ['./patchbay exec vm1 -- ip address', /mtu 1450/, /inet 10\.0\.0\.3\/24/],
  ['openstack console log show', /1 ssh key/],
  ['./patchbay host compute1 -- ovs-vsctl show', /Bridge br-tun/, /remote_ip="192\.168\.2\.22"/, /fail_mode: secure/],
  ['./patchbay host compute1 -- ovs-ofctl dump-flows br-tun', /table=20,.*dl_vlan=\d+,dl_dst=fa:16:3e.*output/, /table=21,.*arp_tpa=10\.0\.0\.4/],
  ['./patchbay host compute1 -- ovs-ofctl dump-flows br-int', /tp_dst=22 actions=resubmit\(,92\)/, /icmp,reg5/],
  ['./patchbay host compute1 -- ip netns', /qdhcp-/],
  ['./patchbay host outside -- ping', /3 received/],
  ['./patchbay host outside -- ssh', /^vm1$/m],
  ['./patchbay host outside -- openstack server ssh', /^vm1$/m],
  ['./patchbay trace --from outside --to 172.16.0.4 --proto tcp --dport 80 ||', /no ingress rule of security group default .* admits tcp\/80 from 172\.16\.0\.1/, /to change that: openstack security group rule create --ingress --protocol tcp --dst-port 80/, /dropped/],
  ['./patchbay trace', /rule .* admits it: ingress tcp\/80 from 0\.0\.0\.0\/0/, /delivered to port vm1/, /verdict: deliver/],
  ['./patchbay host outside -- curl', /^vm1$/m],
  ['./patchbay status', /compute1 +alive .* 0$/m, /compute2 +alive .* 0$/m],
  ['openstack network agent list', /Open vSwitch agent \| compute2/, /DHCP agent +\| compute1/],
  ['./patchbay down', /removed/],
];

after(async () => {
  await downDataCentre(state, { purge: true }).catch(() => {});
  rmSync(folder, { recursive: true, force: true });
});

test('N-VX-14, N-SG-1: every command of the README works in the order of the tour', { timeout: 300_000 }, async () => {
  const results = await runTour(18_795);
  const failed = results.filter(({ code }) => code !== 0).map(({ command, code, output }) => `${command}: exit code ${code}\n${output}`);
  assert.deepEqual(failed, []);
  assert.equal(results.length, commands.length);
  const used = new Set<string>();
  for (const { command, output } of results) {
    const rule = SHOWS.find(([begin]) => command.startsWith(begin));
    if (!rule) continue;
    const [begin, ...wanted] = rule;
    used.add(begin);
    for (const pattern of wanted) assert.match(output, pattern, command);
  }
  assert.deepEqual(SHOWS.map(([begin]) => begin).filter((begin) => !used.has(begin)), []);
});

interface Result {
  readonly command: string;
  readonly code: number;
  readonly output: string;
}

/** One shell for all: the tour sources what `openrc` prints. The only change is where `up` listens, so that a cloud of yours may run meanwhile. */
async function runTour(port: number): Promise<Result[]> {
  symlinkSync(join(ROOT, 'patchbay'), join(folder, 'patchbay'));
  const typed = commands.map((command) => (command === './patchbay up' ? `${command} --listen 127.0.0.1:${port}` : command));
  const script = join(folder, 'tour.sh');
  writeFileSync(script, typed.map((command, i) => `${command}\nprintf '\\n--- %s %s\\n' ${i} $?`).join('\n'));
  const output = await bash(script);
  return output.split(/(?<=\n--- \d+ \d+)\n/).flatMap((part) => {
    const [, text = '', index, code] = /^([\s\S]*)\n--- (\d+) (\d+)$/.exec(part) ?? [];
    return index === undefined ? [] : [{ command: commands[Number(index)]!, code: Number(code), output: text }];
  });
}

function bash(script: string): Promise<string> {
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('OS_')));
  const child = spawn('bash', ['-c', `exec bash "${script}" 2>&1`], { cwd: folder, env: { ...environment, PATCHBAY_STATE: state }, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  return new Promise((resolve, reject) => child.once('error', reject).once('close', () => resolve(output)));
}
