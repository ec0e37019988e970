/** `patchbay up`: the command line of ../up.ts. */
import { loadConfig } from '#model/config.ts';
import { MAX_HOSTS } from '#model/data-centre.ts';
import { type Command, expectPositionals, integerOption, requireRoot, textOption } from '../command.ts';
import { checkStatePath, withLock } from '../datacentre/state-folder.ts';
import { type Settings, readSettings } from '../settings.ts';
import { up } from '../up.ts';

export const command: Command = {
  usage: '[--hosts N] [--config FILE] [--listen ADDR:PORT] [--raise-limits]',
  summary: 'start a controller and a simulated data centre of N hosts; again: start what is missing',
  options: {
    hosts: { type: 'string', value: 'N', help: `hosts compute1 to computeN, at most ${MAX_HOSTS} (default 2, or what the config says)` },
    config: { type: 'string', value: 'FILE', help: 'settings (YAML); without it those of the last up' },
    listen: { type: 'string', value: 'ADDR:PORT', help: 'where the API answers (default 127.0.0.1:8770)' },
    'raise-limits': { type: 'boolean', help: 'raise sysctls that all namespaces share, until down' },
  },
  async run(invocation) {
    expectPositionals(invocation);
    requireRoot('up');
    checkStatePath(invocation.state);
    const started = Date.now();
    const progress = (step: string) => console.log(`${((Date.now() - started) / 1_000).toFixed(1).padStart(6)} s  ${step}`);
    const { state } = invocation;
    const settings = readSettings({
      state,
      configFile: textOption(invocation, 'config'),
      hosts: integerOption(invocation, 'hosts'),
      listen: textOption(invocation, 'listen'),
    });
    const outcome = await withLock(state, () => up(settings, { raiseLimits: invocation.options['raise-limits'] === true, progress }));
    const { plan } = settings;
    console.log(outcome === 'already' ? `already up at http://${plan.listen} with ${hostNames(plan)}; nothing to do` : nextSteps(settings));
    return 0;
  },
};

function hostNames({ hosts }: Settings['plan']): string {
  return hosts.length > 4 ? `${hosts[0]!.name} to ${hosts.at(-1)!.name}` : hosts.map(({ name }) => name).join(' ');
}

function nextSteps({ plan, config }: Settings): string {
  const tour = loadConfig(config).bootstrap === 'tour';
  const user = tour ? 'demo' : 'admin';
  const lines = [
    `source <(./patchbay openrc ${user})`,
    'openstack network list',
    ...(tour
      ? ['openstack network create my-net && openstack subnet create --network my-net --subnet-range 10.0.0.0/24 my-subnet',
        'openstack server create --wait --flavor m1.nano --image busybox --network my-net vm1',
        './patchbay exec vm1 -- ip address']
      : []),
    `./patchbay host ${plan.hosts[0]!.name} -- ovs-vsctl show`,
    './patchbay status',
  ];
  return `\nPatchbay is up at http://${plan.listen} with ${hostNames(plan)}. Try:\n\n${lines.map((line) => `  ${line}`).join('\n')}\n`;
}
