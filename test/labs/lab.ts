/** Replays a lab as its reader does: the lab's own config and scripts, the openstack command as it is, a folder to work in. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'node:test';
import { type Cloud, type Result, scenario } from '#testkit/cloud.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const PATCHBAY = `${ROOT}/patchbay`;
const GUEST_ACCESS = ['-l', 'cirros', '-i', 'demo-key', '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR'];

/** A scenario on the cloud that `labs/NAME/cloud.yaml` describes. */
export function labScenario(name: string, title: string, run: (lab: Lab, t: TestContext) => Promise<void>): void {
  scenario(title, { config: readFileSync(`${ROOT}/labs/${name}/cloud.yaml`, 'utf8') }, async (cloud, t) => {
    mkdirSync('/var/tmp/patchbay-test', { recursive: true });
    const folder = mkdtempSync('/var/tmp/patchbay-test/lab-');
    try {
      await run(new Lab(cloud, name, folder), t);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

export class Lab {
  readonly cloud: Cloud;
  readonly #name: string;
  readonly #folder: string;

  constructor(cloud: Cloud, name: string, folder: string) {
    this.cloud = cloud;
    this.#name = name;
    this.#folder = folder;
  }

  /** Runs `labs/NAME/demo.sh`, or another script of the lab, with admin's credentials; throws when it fails. */
  async demo(script = 'demo.sh'): Promise<string> {
    return success(await this.#shell(`source <(${PATCHBAY} openrc admin) && ${this.file(script)}`), script);
  }

  /** What `labs/NAME/observe.sh` shows on a host. */
  observe(host: string): Promise<string> {
    return this.cloud.host(host, 'sh', this.file('observe.sh'));
  }

  /** Runs openstack commands in one process; what fails leaves a line on stderr. The demo user's come from the demo-openrc that demo.sh wrote. */
  openstack(user: 'admin' | 'demo', ...commands: string[]): Promise<Result> {
    const credentials = user === 'demo' ? './demo-openrc' : `<(${PATCHBAY} openrc admin)`;
    return this.#shell(`source ${credentials} && openstack <<'COMMANDS'\n${commands.join('\n')}\nCOMMANDS`);
  }

  /** `labs/disable-port-security.sh`, for all ACTIVE ports. */
  async disablePortSecurity(): Promise<void> {
    success(await this.#shell(`source <(${PATCHBAY} openrc admin) && ${ROOT}/labs/disable-port-security.sh`), 'disable-port-security.sh');
  }

  /** The path of a file of the lab. */
  file(name: string): string {
    return `${ROOT}/labs/${this.#name}/${name}`;
  }

  /** Runs a command inside an instance by ssh from a host or `outside`, with the demo-key. */
  async ssh(from: string, address: string, ...command: string[]): Promise<string> {
    return success(await this.#shell(`${PATCHBAY} host ${from} -- ssh ${GUEST_ACCESS.join(' ')} ${address} ${command.join(' ')}`), `ssh ${address}`);
  }

  /** From the machine itself, by way of a host: the lab host's ProxyCommand, with `patchbay host` in place of an ssh to the jump host. */
  async sshBy(host: string, address: string, ...command: string[]): Promise<string> {
    const access = [...GUEST_ACCESS, '-o', `'ProxyCommand=${PATCHBAY} host ${host} -- busybox nc %h %p'`].join(' ');
    return success(await this.#shell(`ssh ${access} ${address} ${command.join(' ')}`), `ssh ${address} by way of ${host}`);
  }

  /** From `outside`, by `openstack server ssh`, which asks the API for the fixed address, or for the floating one. */
  async serverSsh(server: string, which: '--private' | '--public', ...command: string[]): Promise<string> {
    return success(await this.#shell(`source ./demo-openrc && ${PATCHBAY} host outside -- openstack server ssh ${which} ${server} -- ${GUEST_ACCESS.join(' ')} ${command.join(' ')}`), `server ssh ${server}`);
  }

  #shell(script: string): Promise<Result> {
    return new Promise((resolve) => {
      execFile('bash', ['-c', script], { cwd: this.#folder, env: { ...process.env, PATCHBAY_STATE: this.cloud.state }, maxBuffer: 16 * 1024 * 1024, timeout: 180_000 }, (error, stdout, stderr) => {
        resolve({ code: error ? (typeof error.code === 'number' ? error.code : 255) : 0, stdout, stderr });
      });
    });
  }
}

function success({ code, stdout, stderr }: Result, what: string): string {
  if (code !== 0) throw new Error(`${what}: exit code ${code}: ${stderr}${stdout.slice(-2000)}`);
  return stdout;
}

/** The lines of a dump-flows without counters, one flow each, sorted. */
export async function flows(cloud: Cloud, host: string, bridge: string, table: number): Promise<string[]> {
  const text = await cloud.host(host, 'ovs-ofctl', 'dump-flows', '--no-stats', bridge, `table=${table}`);
  return text.split('\n').filter((line) => line.includes('actions=')).map((line) => line.replace(/^.*cookie=0x[0-9a-f]+, (table=\d+, )?/, '')).sort();
}

/** The tables that a packet meets, by `ofproto/trace`; recirculation after conntrack starts anew. */
export async function tracedTables(cloud: Cloud, host: string, bridge: string, packet: string): Promise<number[]> {
  const text = await cloud.host(host, 'ovs-appctl', 'ofproto/trace', bridge, packet);
  return [...text.matchAll(/^\s*(\d+)\. /gm)].map(([, table]) => Number(table));
}
