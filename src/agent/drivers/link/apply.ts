/** Carries out a link plan, in two halves: a filter or a translation may have to change between them. */
import { inNamespace, ipBatch, ipEach } from '#agent/drivers/command.ts';
import type { DesiredLinks } from './desired.ts';
import type { LinkPlan } from './plan.ts';
import { quieten } from './quiet.ts';

/** Takes away what is of no use any more. Throws CommandError; a second run with a new reading goes on where this one stopped. */
export async function applyTakes({ namespace }: DesiredLinks, plan: LinkPlan): Promise<void> {
  await ipBatch(plan.takes, namespace);
}

/** An address or a route that the kernel does not take. */
export interface Refusal {
  readonly what: 'address' | 'route';
  /** `10.0.0.1/24`; `10.9.0.0/16 via 10.0.0.255 dev qr-…`. */
  readonly subject: string;
  readonly reason: string;
}

/** Makes what is missing; resolves with addresses and routes that the kernel refused, and only they are missing then (law 4). Throws CommandError. */
export async function applyGives({ namespace }: DesiredLinks, plan: LinkPlan): Promise<Refusal[]> {
  if (plan.sysctls.length > 0) await inNamespace(namespace, 'sysctl', ['-qw', ...plan.sysctls]);
  await ipBatch(plan.host);
  // Before they come up: until then nothing of the namespace reaches the host's stack.
  for (const device of plan.quiets) quieten(device);
  await ipBatch(plan.creates.map((device) => `link set ${device} up`));
  const refusals = (await ipEach(plan.gives, namespace)).map(({ line, reason }): Refusal => {
    const [, what, subject = ''] = /^(address|route) (?:add|replace) (.+)$/.exec(line) ?? [];
    if (what !== 'address' && what !== 'route') throw new Error(`ip -n ${namespace} ${line}: ${reason}`);
    return { what, subject: what === 'address' ? subject.split(' ', 1)[0]! : subject, reason };
  });
  if (plan.txOff.length === 0) return refusals;
  await inNamespace(namespace, 'sh', ['-c', 'for device; do ethtool -K "$device" tx off >/dev/null || exit 1; done', 'sh', ...plan.txOff]);
  return refusals;
}
