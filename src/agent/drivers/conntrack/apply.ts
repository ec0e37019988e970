/** Connection tracking of Open vSwitch's datapath, userspace or kernel: what is forgotten, and how much is remembered. */
import { askVswitchd } from '#agent/drivers/ovs/appctl.ts';

/**
 * Forgets every connection of `zones`, as `ovs-appctl dpctl/flush-conntrack zone=N` does: a zone is emptied before another
 * network gets its number (DESIGN §4). Throws when vswitchd in `runDir` does not answer or refuses.
 */
export async function flushZones(runDir: string, zones: readonly number[]): Promise<void> {
  // Never without a zone: that would forget the connections of all networks.
  await askVswitchd(runDir, zones.map((zone) => ['dpctl/flush-conntrack', `zone=${zone}`]));
}

/**
 * Lets each of `zones` remember `most` connections and no more; 0: as many as the datapath holds. vswitchd forgets it when it ends.
 * Not by the datapath's default, which all zones without a limit of their own share. `say` hears the line of a change before it is
 * made. Throws when vswitchd in `runDir` does not answer or refuses.
 */
export async function limitZones(runDir: string, zones: readonly number[], most: number, say: (line: string) => void): Promise<void> {
  if (zones.length === 0) return;
  const [said = ''] = await askVswitchd(runDir, [['dpctl/ct-get-limits', `zone=${zones.join(',')}`]]);
  const held = new Map([...said.matchAll(/^zone=(\d+),limit=(\d+)/gm)].map(([, zone, limit]) => [Number(zone), Number(limit)]));
  const other = zones.filter((zone) => (held.get(zone) ?? 0) !== most);
  if (other.length === 0) return;
  const command = most === 0 ? ['dpctl/ct-del-limits', `zone=${other.join(',')}`] as const : ['dpctl/ct-set-limits', ...other.map((zone) => `zone=${zone},limit=${most}`)] as const;
  say(`ovs-appctl ${command.join(' ')}`);
  await askVswitchd(runDir, [command]);
}
