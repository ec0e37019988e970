/** Agents: what runs on each host and reports to the controller (extensions agent, availability_zone). */
import { boolean, json, nullable, text, uuid } from './kind.ts';
import { type Held, defaulted, defineResource, readOnly } from './resource.ts';

export const AGENT_TYPES = {
  'Open vSwitch agent': { binary: 'neutron-openvswitch-agent', topic: 'N/A' },
  'L3 agent': { binary: 'neutron-l3-agent', topic: 'l3_agent' },
  'Metadata agent': { binary: 'neutron-metadata-agent', topic: 'N/A' },
  'DHCP agent': { binary: 'neutron-dhcp-agent', topic: 'dhcp_agent' },
} as const;
export type AgentType = keyof typeof AGENT_TYPES;

export const agent = defineResource({
  collection: 'agents', member: 'agent', noun: 'Agent',
  attributes: {
    id: readOnly(uuid),
    agent_type: readOnly(text(255)),
    binary: readOnly(text(255)),
    topic: readOnly(text(255)),
    host: readOnly(text(255)),
    admin_state_up: defaulted(boolean, true),
    description: defaulted(nullable(text(255)), null),
    availability_zone: readOnly(nullable(text(255))),
    /** Made when the agent first reported; `started_at` when it last started. Stored as other times, shown as Neutron shows an agent's. */
    created_at: readOnly(text(32)),
    started_at: readOnly(text(32)),
    heartbeat_timestamp: readOnly(text(32)),
    /** What the agent reports of itself: tunnel address, bridge mappings, types. */
    configurations: readOnly(json),
    alive: readOnly(boolean, { stored: false }),
    resources_synced: readOnly(nullable(boolean), { stored: false }),
  },
});
export type Agent = Held<typeof agent>;
