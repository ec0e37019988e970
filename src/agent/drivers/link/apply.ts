/** Carries out a link plan: at most one `ip -batch` on the host and two inside. */
import { inNamespace, ipBatch } from '#agent/drivers/command.ts';
import type { DesiredLink } from './desired.ts';
import type { LinkPlan } from './plan.ts';

/** Throws CommandError; a second run with a new reading goes on where this one stopped. */
export async function applyLink({ namespace, device }: DesiredLink, plan: LinkPlan): Promise<void> {
  if (plan.sysctls.length > 0) await inNamespace(namespace, 'sysctl', ['-qw', ...plan.sysctls]);
  await ipBatch(plan.removals, namespace);
  await ipBatch(plan.host);
  await ipBatch(plan.inside, namespace);
  if (plan.txOff) await inNamespace(namespace, 'ethtool', ['-K', device, 'tx', 'off']);
}
