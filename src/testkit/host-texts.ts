/** What the drivers of an agent would hand to the programs of its host for a HostState, as text, without a host. */
import { dhcpLinks } from '#agent/dhcp-links.ts';
import { desiredDnsmasq, serverRefusal } from '#agent/drivers/dnsmasq/desired.ts';
import { hostEntry } from '#agent/drivers/dnsmasq/hosts.ts';
import { EMPTY_INSIDE } from '#agent/drivers/link/parse.ts';
import { planLinks, printLinkPlan } from '#agent/drivers/link/plan.ts';
import { printTable } from '#agent/drivers/nft/table.ts';
import { radvdConfig } from '#agent/drivers/radvd/desired.ts';
import { routerLinks } from '#agent/router-links.ts';
import { routerTable, type RouterView } from '#agent/router-table.ts';
import type { HostState, Item, ItemOf, ItemType } from '#hoststate/host-state.ts';

export interface HostTexts {
  /** Of each DHCP server: its arguments and the lines of its files. */
  readonly dnsmasq: readonly { readonly args: readonly string[]; readonly opts: readonly string[]; readonly host: readonly string[]; readonly addnHosts: readonly string[] }[];
  /** Lines for `ip`, `sysctl`, `ethtool`. */
  readonly links: readonly string[];
  /** Scripts for `nft -f`. */
  readonly nft: readonly string[];
  readonly radvd: readonly string[];
}

/** `refusal` is dnsmasq's word on an option of one port. */
export function hostTexts(state: HostState, refusal: (optionLine: string) => string | undefined = () => undefined): HostTexts {
  const items = [...state.values()];
  const of = <T extends ItemType>(type: T): ItemOf<T>[] => items.filter((item: Item): item is ItemOf<T> => item.type === type);
  const servers = of('dhcp-server').filter((server) => serverRefusal(server) === undefined);
  const views = of('router').map((router): RouterView => ({
    router, ports: of('router-port').filter((port) => port.router_id === router.router_id),
    floatingIps: of('floating-ip').filter((item) => item.router_id === router.router_id), forwardings: of('port-forwarding').filter((item) => item.router_id === router.router_id),
  }));
  const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '');
  return {
    dnsmasq: servers.map((server) => {
      const { args, files } = desiredDnsmasq('/state', server, of('dhcp-host').filter((host) => host.network_id === server.network_id).map((host) => hostEntry(server, host, refusal)));
      return { args, opts: linesOf(files.opts), host: linesOf(files.host), addnHosts: linesOf(files.addn_hosts) };
    }),
    links: [...servers.map(dhcpLinks), ...views.map(routerLinks)].flatMap((links) => printLinkPlan(links, planLinks(links, EMPTY_INSIDE, new Map()))),
    nft: views.map((view) => printTable(routerTable(view)).join('\n')),
    radvd: views.flatMap((view) => radvdConfig(view.ports, { min: 30, max: 100 }) ?? []),
  };
}
