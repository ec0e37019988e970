/** DHCP servers of a host and whom they answer. */

export interface DhcpSubnet {
  readonly subnet_id: string;
  readonly cidr: string;
  readonly gateway_ip: string | null;
  readonly dns_nameservers: readonly string[];
  /** Addresses of the network's DHCP servers in this subnet, this one's among them: who resolves where `dns_nameservers` is empty (N-DH-12). */
  readonly dhcp_servers: readonly string[];
  readonly host_routes: readonly { readonly destination: string; readonly nexthop: string }[];
  /** IPv6: `dhcpv6-stateful` and `dhcpv6-stateless` are served; null for IPv4. */
  readonly ipv6_address_mode: string | null;
  /** Subnets without DHCP stand here too: the server routes to them on the link (option 121). */
  readonly enable_dhcp: boolean;
  /** Who answers for metadata, so that option 121 leads there: this server, the gateway (a router of ours), or nobody (N-MD-4, N-MD-12). */
  readonly metadata: 'server' | 'gateway' | null;
}

/** A network's DHCP server on this host: namespace `qdhcp-<network>`, device `tap<port>` (N-DH-1, N-DH-2). */
export interface DhcpServerItem {
  readonly type: 'dhcp-server';
  readonly network_id: string;
  readonly port_id: string;
  readonly device: string;
  readonly mac_address: string;
  readonly mtu: number;
  /** The server's addresses with prefix: `172.16.0.2/24`. */
  readonly addresses: readonly string[];
  readonly subnets: readonly DhcpSubnet[];
  /** The cloud's domain: what names are in, and what clients search (option 15); '' is none. */
  readonly dns_domain: string;
  /** Addresses, `ADDRESS#PORT` off port 53, that the server forwards DNS queries to; empty: no forwarding (N-DH-11, N-DNS-2). */
  readonly dns_servers: readonly string[];
  /** Uses the host's own resolver, where there are no `dns_servers` (N-DNS-1). */
  readonly local_resolv: boolean;
  /** A proxy in the server's namespace answers at 169.254.169.254 and fe80::a9fe:a9fe (N-MD-12, N-MD-14). */
  readonly metadata: boolean;
  /** Seconds; -1 is for ever. */
  readonly lease_duration: number;
}

/** A port that a server on this host knows: it answers its DHCP (N-DH-6) and its name. */
export interface DhcpHostItem {
  readonly type: 'dhcp-host';
  readonly network_id: string;
  readonly port_id: string;
  readonly mac_address: string;
  /** Those on subnets without DHCP too: they have their names in DNS. */
  readonly addresses: readonly { readonly subnet_id: string; readonly ip_address: string }[];
  /** Below the server's domain; '' where the port is called after its addresses. */
  readonly hostname: string;
  /** Further names of it, each whole. */
  readonly names: readonly string[];
  readonly options: readonly { readonly name: string; readonly value: string; readonly ip_version: number }[];
}
