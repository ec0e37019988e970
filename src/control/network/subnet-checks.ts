/** What a subnet may be, as pure checks: CIDR, gateway, pools, routes, IPv6 modes. Throws ApiErrors as Neutron answers them. */
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import type { Subnet } from '#model/networks.ts';
import { type Cidr, cidrContains, cidrLast, formatCidr, parseCidr } from '#net/cidr.ts';
import { compareIp, formatIp, type Ip, parseIp } from '#net/ip.ts';
import { RangeSet } from '#net/range-set.ts';

export type Pool = { start?: string; end?: string };

type Version = 4 | 6;
type Modes = Pick<Subnet, 'ipv6_ra_mode' | 'ipv6_address_mode'>;

/** The network of the given CIDR (host bits cleared), fit for a subnet. */
export function checkedCidr(text: string, version: number): Cidr {
  const cidr = parseCidr(text)!;
  requireVersion(cidr.version, version, 'cidr', text);
  if (cidr.prefix === 0) throw invalid('0 is not allowed as CIDR prefix length');
  if (version === 6 && cidr.base === 0n) throw invalid("IPv6 subnet '::' is not supported");
  return cidr;
}

/** What a DHCP server can serve. */
export function checkDhcp(cidr: Cidr): void {
  if (cidr.prefix > (cidr.version === 4 ? 30 : 126)) throw invalid('Subnet has a prefix length that is incompatible with DHCP service enabled');
  const head = cidr.version === 4 ? cidr.base >> 24n : cidr.base >> 120n;
  if (cidr.version === 4 ? head >> 4n === 0xen : head === 0xffn) throw invalid('Multicast IP subnet is not supported if enable_dhcp is True');
  if (cidr.version === 4 ? head === 127n : cidr.base === 1n) throw invalid('Loopback IP subnet is not supported if enable_dhcp is True');
  if (cidr.base === 0n) throw invalid("First IP '0.0.0.0' of network is not supported if enable_dhcp is True.");
}

/** A gateway outside the CIDR is the operator's business, as in Neutron; inside it must be a host's address. */
export function checkGateway(cidr: Cidr, gateway: string): void {
  const ip = parseIp(gateway)!;
  requireVersion(ip.version, cidr.version, 'gateway_ip', gateway);
  if (cidr.version === 4 && (ip.value === cidr.base || ip.value === cidrLast(cidr))) throw invalid('Gateway is not valid on subnet');
}

/** The first address of the subnet. */
export function defaultGateway(cidr: Cidr): string {
  return formatIp({ version: cidr.version, value: cidr.base + 1n });
}

/** All addresses that hosts may have, without the gateway (N-ML2-17). */
export function defaultPools(cidr: Cidr, gateway: string | null): Pool[] {
  const { first, last } = hostRange(cidr);
  const ip = gateway === null ? undefined : parseIp(gateway)!;
  const cuts = ip && cidrContains(cidr, ip) && first !== last ? [{ first: ip.value, last: ip.value }] : [];
  return new RangeSet([{ first, last }]).without(cuts).ranges.map((range) => ({ start: text(cidr, range.first), end: text(cidr, range.last) }));
}

/** Pools within the subnet that neither overlap nor hold the gateway. */
export function checkPools(cidr: Cidr, pools: readonly Pool[], gateway: string | null): void {
  const ranges = pools.map((pool) => {
    const [start, end] = [parseIp(pool.start!)!, parseIp(pool.end!)!];
    if (start.version !== cidr.version || end.version !== cidr.version || compareIp(start, end) > 0) throw new ApiError('InvalidAllocationPool', { pool: shown(pool) });
    const { first, last } = hostRange(cidr);
    if (start.value < first || end.value > last) throw new ApiError('OutOfBoundsAllocationPool', { pool: shown(pool), subnet_cidr: formatCidr(cidr) });
    return { pool, first: start.value, last: end.value };
  }).sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  for (const [i, range] of ranges.entries()) {
    const next = ranges[i + 1];
    if (next && next.first <= range.last) throw new ApiError('OverlappingAllocationPools', { pool_1: shown(range.pool), pool_2: shown(next.pool), subnet_cidr: formatCidr(cidr) });
  }
  if (gateway === null) return;
  const ip = parseIp(gateway)!;
  const holder = ranges.find(({ first, last }) => ip.version === cidr.version && first <= ip.value && ip.value <= last);
  if (holder) throw new ApiError('GatewayConflictWithAllocationPools', { ip_address: gateway, pool: shown(holder.pool) });
}

export function checkNameservers(config: Config, version: Version, nameservers: readonly string[], subnetId = 'new subnet'): void {
  if (nameservers.length > config.max_dns_nameservers) throw new ApiError('DNSNameServersExhausted', { subnet_id: subnetId, quota: config.max_dns_nameservers });
  for (const server of nameservers) requireVersion(parseIp(server)!.version, version, 'dns_nameserver', server);
}

export function checkHostRoutes(config: Config, version: Version, routes: Subnet['host_routes'], subnetId = 'new subnet'): void {
  if (routes.length > config.max_subnet_host_routes) throw new ApiError('HostRoutesExhausted', { subnet_id: subnetId, quota: config.max_subnet_host_routes });
  for (const { nexthop, destination } of routes) {
    requireVersion(parseIp(nexthop!)!.version, version, 'nexthop', nexthop!);
    requireVersion(parseCidr(destination!)!.version, version, 'destination', destination!);
  }
}

/** The IPv6 modes of a new subnet. */
export function checkModes(cidr: Cidr, { ipv6_ra_mode, ipv6_address_mode }: Modes, enableDhcp: boolean): void {
  if (cidr.version === 4) {
    if (ipv6_ra_mode) throw invalid('ipv6_ra_mode is not valid when ip_version is 4');
    if (ipv6_address_mode) throw invalid('ipv6_address_mode is not valid when ip_version is 4');
    return;
  }
  if (!ipv6_ra_mode && !ipv6_address_mode) return;
  if (!enableDhcp) throw invalid('ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False');
  if (ipv6_ra_mode && ipv6_address_mode && ipv6_ra_mode !== ipv6_address_mode) {
    throw invalid(`ipv6_ra_mode set to '${ipv6_ra_mode}' with ipv6_address_mode set to '${ipv6_address_mode}' is not valid. If both attributes are set, they must be the same value`);
  }
  const auto = [ipv6_ra_mode, ipv6_address_mode].some((mode) => mode === 'slaac' || mode === 'dhcpv6-stateless');
  if (auto && cidr.prefix !== 64) throw invalid(`Invalid CIDR ${formatCidr(cidr)} for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the prefix to be /64`);
}

/** Hosts of an IPv4 subnet have neither its first nor its last address; those of a /31 and a /32 have all (RFC 3021). */
function hostRange(cidr: Cidr): { first: bigint; last: bigint } {
  const last = cidrLast(cidr);
  if (cidr.version === 4) return cidr.prefix <= 30 ? { first: cidr.base + 1n, last: last - 1n } : { first: cidr.base, last };
  return { first: cidr.base === last ? last : cidr.base + 1n, last };
}

/** An address or prefix of the subnet's version. */
export function requireVersion(given: number, wanted: number, name: string, value: string): void {
  if (given !== wanted) throw invalid(`${name} '${value}' does not match the ip_version '${wanted}'`);
}

const text = (cidr: Cidr, value: bigint): string => formatIp({ version: cidr.version, value } satisfies Ip);
const shown = ({ start, end }: Pool): string => `${start}-${end}`;

function invalid(reason: string): ApiError {
  return new ApiError('InvalidInput', { reason });
}
