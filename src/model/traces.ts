/** What `POST /v2.0/traces` takes: a question about a packet. Nothing is stored. */
import { integer, ipAddress, macAddress, nullable, uuid } from './kind.ts';
import { defaulted, defineResource } from './resource.ts';
import { protocol } from './security-groups.ts';

const tcpPort = nullable(integer(0, 65535));
const byte = nullable(integer(0, 255));

export const traceQuestion = defineResource({
  collection: 'traces', member: 'trace', noun: 'Trace',
  attributes: {
    /** The port whose guest sends; or `source_network_id`. */
    source_port_id: defaulted(nullable(uuid), null),
    /** A flat or VLAN network that somebody outside sends on. */
    source_network_id: defaulted(nullable(uuid), null, { writers: 'admin' }),
    /** What the sender claims; by default an address of the port. Needed with `source_network_id`. */
    source_ip_address: defaulted(nullable(ipAddress), null),
    source_mac_address: defaulted(nullable(macAddress), null),
    /** The port whose first address of a fitting version is meant; or `destination_ip_address`. */
    destination_port_id: defaulted(nullable(uuid), null),
    destination_ip_address: defaulted(nullable(ipAddress), null),
    protocol: defaulted(protocol, 'icmp'),
    source_port: defaulted(tcpPort, null),
    destination_port: defaulted(tcpPort, null),
    icmp_type: defaulted(byte, null),
    icmp_code: defaulted(byte, null),
    /** Bytes of the IP packet. */
    packet_size: defaulted(integer(20, 65535), 64),
  },
});
