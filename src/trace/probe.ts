/** What is asked: a packet from somewhere to an address. */

export type Origin =
  /** The guest of a port sends it. */
  | { readonly port_id: string }
  /** Somebody outside sends it on a physical network: untagged (flat), or with a VLAN id. */
  | { readonly physical_network: string; readonly segmentation_id: number | null; readonly source_ip: string };

export interface Probe {
  readonly from: Origin;
  readonly destination_ip: string;
  /** IANA number. */
  readonly protocol: number;
  /** An ephemeral port where the protocol has ports. */
  readonly source_port?: number;
  readonly destination_port?: number;
  /** An echo request by default. */
  readonly icmp_type?: number;
  readonly icmp_code?: number;
  /** Bytes of the IP packet; 64 by default. */
  readonly size?: number;
  /** What a guest claims that is not its own. */
  readonly spoofed?: { readonly source_mac?: string; readonly source_ip?: string };
}
