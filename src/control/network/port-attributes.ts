/** Checks of port attributes that need no other row: address pairs, DHCP options, addresses. */
import { ApiError } from '#model/errors.ts';
import type { Port } from '#model/networks.ts';
import { cidrOverlaps, parseCidr } from '#net/cidr.ts';
import { formatIp, parseIp } from '#net/ip.ts';
import { isMulticastMac } from '#net/mac.ts';
import { invalidInput } from './body.ts';
import type { FixedIpWish } from './ipam.ts';

type Pairs = Port['allowed_address_pairs'];
type DhcpOptions = Port['extra_dhcp_opts'];

/** C0, DEL, C1 and the Unicode line ends: any of them could begin a new line of a host's configuration (OSSA-2021-005). */
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
/** No station sends from these. */
const MULTICAST = [parseCidr('224.0.0.0/4')!, parseCidr('ff00::/8')!];
/** As many as DHCP has numbers for: more would only keep the DHCP server of the network busy. */
const MOST_DHCP_OPTIONS = 255;
const OPTION_NAME = /^[A-Za-z0-9][A-Za-z0-9:_.-]*$/;

/** Address pairs as they are stored: every one with an address in canonical form and a MAC (the port's own if none is given). */
export function addressPairs(given: Pairs, ownMac: string, max: number): Pairs {
  if (given.length > max) throw new ApiError('AllowedAddressPairExhausted', { quota: max });
  const seen = new Set<string>();
  return given.map((pair) => {
    if (pair.ip_address === undefined) throw new ApiError('AllowedAddressPairsMissingIP');
    const ip_address = addressOrPrefix(pair.ip_address);
    const mac_address = pair.mac_address ?? ownMac;
    if (isMulticastMac(mac_address)) throw invalidInput('allowed_address_pairs', `'${mac_address}' is a multicast MAC address`);
    if (seen.has(`${mac_address} ${ip_address}`)) throw new ApiError('DuplicateAddressPairInRequest', { mac_address, ip_address });
    seen.add(`${mac_address} ${ip_address}`);
    return { mac_address, ip_address };
  });
}

/** DHCP options after `given` is merged into `held`: a null value removes, an option not named stays. */
export function dhcpOptions(given: DhcpOptions, held: DhcpOptions = []): DhcpOptions {
  const merged = new Map(held.map((option) => [`${option.opt_name}/${option.ip_version}`, option]));
  for (const { opt_name = '', opt_value = null, ip_version = 4 } of given) {
    if (!OPTION_NAME.test(opt_name)) throw invalidInput('extra_dhcp_opts', `'${printable(opt_name)}' is not a DHCP option name`);
    if (opt_value !== null && CONTROL.test(opt_value)) throw invalidInput('extra_dhcp_opts', `the value of '${opt_name}' holds a control character`);
    if (opt_value === '') throw invalidInput('extra_dhcp_opts', `the value of '${opt_name}' is blank`);
    if (ip_version !== 4 && ip_version !== 6) throw invalidInput('extra_dhcp_opts', `ip_version ${ip_version} is not 4 or 6`);
    if (opt_value === null) merged.delete(`${opt_name}/${ip_version}`);
    else merged.set(`${opt_name}/${ip_version}`, { opt_name, opt_value, ip_version });
  }
  if (merged.size > MOST_DHCP_OPTIONS) throw invalidInput('extra_dhcp_opts', `a port has at most ${MOST_DHCP_OPTIONS} of them`);
  return [...merged.values()];
}

/** No address twice, at most `max`, and a subnet or an address in each. */
export function checkFixedIps(given: readonly FixedIpWish[], max: number): void {
  if (given.length > max) throw new ApiError('InvalidInput', { reason: 'Exceeded maximum amount of fixed ips per port' });
  const seen = new Set<string>();
  for (const { ip_address } of given) {
    if (ip_address === undefined) continue;
    if (seen.has(ip_address)) throw invalidInput('fixed_ips', `Duplicate IP address '${ip_address}'`);
    seen.add(ip_address);
  }
}

/** A port's MAC names one station. */
export function checkMac(mac: string): void {
  if (isMulticastMac(mac)) throw invalidInput('mac_address', `'${mac}' is a multicast address`);
}

/** Prefix lengths as given: Neutron shows `10.0.0.5/24` back. */
function addressOrPrefix(text: string): string {
  const prefix = parseCidr(text);
  if (!prefix) throw invalidInput('allowed_address_pairs', `'${printable(text)}' is not a valid IP address or prefix`);
  if (MULTICAST.some((range) => range.version === prefix.version && range.prefix <= prefix.prefix && cidrOverlaps(range, prefix))) throw invalidInput('allowed_address_pairs', `'${text}' is a multicast IP address`);
  const [address] = text.split('/');
  const shown = formatIp(parseIp(address!)!);
  return text.includes('/') ? `${shown}/${prefix.prefix}` : shown;
}

const printable = (text: string): string => text.slice(0, 60).replace(new RegExp(CONTROL, 'g'), '?');
