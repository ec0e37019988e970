/** Names of ports in DNS (extensions dns-integration and dns-domain-ports): what may be given, and what the network's DNS answers. */
import type { Config } from '#model/config.ts';
import type { Port } from '#model/networks.ts';
import { invalidInput } from './body.ts';

/** The longest name that DNS carries, in Neutron's count. */
const MAX_FQDN = 255;
const LABEL = /^(?!-)[a-z0-9-]{1,63}(?<!-)$/;

/** True when the settings offer dns-integration: servers then give their names to their ports. */
export function hasDnsIntegration({ extension_drivers }: Pick<Config, 'extension_drivers'>): boolean {
  return extension_drivers.includes('dns') || extension_drivers.includes('dns_domain_ports');
}

/** A port's `dns_name` in lower case; '' is none. With a final dot it is full, and lies in the cloud's domain (Neutron's rule). */
export function dnsName(config: Config, given: string): string {
  if (given === '') return given;
  const name = checkedName('dns_name', given);
  const domain = cloudDomain(config);
  if (name.endsWith('.')) {
    if (domain !== '' && !name.endsWith(`.${domain}`)) throw invalidInput('dns_name', `'${name}' is a full name, and those have to be in the domain '${domain}', which dns_domain of the configuration sets`);
  } else if (name.length + (domain === '' ? 0 : domain.length + 1) > MAX_FQDN) {
    throw invalidInput('dns_name', `with the domain '${domain}' a name of ${name.length} characters exceeds the ${MAX_FQDN} that DNS carries`);
  }
  return name;
}

/** The `dns_domain` of a network or port in lower case; '' is none. It ends with a dot and leaves room for a name before it. */
export function dnsDomain(given: string): string {
  if (given === '') return given;
  if (!given.endsWith('.')) throw invalidInput('dns_domain', `'${printable(given)}' is not a FQDN: it has to end with a dot`);
  const domain = checkedName('dns_domain', given);
  if (domain.length > MAX_FQDN - 2) throw invalidInput('dns_domain', `a domain of ${domain.length} characters leaves no room for a name within the ${MAX_FQDN} that DNS carries`);
  return domain;
}

/** `dns_assignment`: what each address of the port is called. The domain is the cloud's: that of the network is one more that DNS knows (decision 12). */
export function dnsAssignment(config: Config, port: Pick<Port, 'dns_name' | 'fixed_ips'>): { hostname: string; ip_address: string; fqdn: string }[] {
  const domain = cloudDomain(config);
  return port.fixed_ips.map(({ ip_address = '' }) => {
    const hostname = port.dns_name || `host-${ip_address.replaceAll(/[.:]/g, '-')}`;
    return { hostname, ip_address, fqdn: hostname.endsWith('.') || domain === '' ? hostname : `${hostname}.${domain}` };
  });
}

/** The domain of all names, with its final dot; '' when there is none. */
function cloudDomain({ dns_domain }: Config): string {
  return dns_domain === '' || dns_domain.endsWith('.') ? dns_domain.toLowerCase() : `${dns_domain.toLowerCase()}.`;
}

/** Labels as RFC 1123 has them. */
function checkedName(attribute: 'dns_name' | 'dns_domain', given: string): string {
  const name = given.toLowerCase();
  const labels = name.replace(/\.$/, '').split('.');
  if (!labels.every((label) => LABEL.test(label))) throw invalidInput(attribute, `'${printable(given)}' is not a valid PQDN or FQDN: labels are 1 to 63 letters, digits and hyphens, with no hyphen at either end`);
  if (labels.length > 1 && /^[0-9]+$/.test(labels.at(-1)!)) throw invalidInput(attribute, `the top-level domain of '${given}' is all numeric`);
  return name;
}

const printable = (text: string): string => text.slice(0, 60).replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '?');
