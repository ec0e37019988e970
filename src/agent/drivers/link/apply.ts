/** Carries out a link plan, in two halves: a filter or a translation may have to change between them. */
import { inNamespace, ipBatch } from '#agent/drivers/command.ts';
import type { DesiredLinks } from './desired.ts';
import type { LinkPlan } from './plan.ts';
import { quieten } from './quiet.ts';

/** Takes away what is of no use any more. Throws CommandError; a second run with a new reading goes on where this one stopped. */
export async function applyTakes({ namespace }: DesiredLinks, plan: LinkPlan): Promise<void> {
  await ipBatch(plan.takes, namespace);
}

/** Makes what is missing. Throws CommandError. */
export async function applyGives({ namespace }: DesiredLinks, plan: LinkPlan): Promise<void> {
  if (plan.sysctls.length > 0) await inNamespace(namespace, 'sysctl', ['-qw', ...plan.sysctls]);
  await ipBatch(plan.host);
  // Before they come up: until then nothing of the namespace reaches the host's stack.
  for (const device of plan.quiets) quieten(device);
  await ipBatch(plan.creates.map((device) => `link set ${device} up`));
  await ipBatch(plan.gives, namespace);
  if (plan.txOff.length === 0) return;
  await inNamespace(namespace, 'sh', ['-c', 'for device; do ethtool -K "$device" tx off >/dev/null || exit 1; done', 'sh', ...plan.txOff]);
}
