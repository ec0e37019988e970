/** Logs of what security groups let pass and drop (extension logging). */
import { boolean, enumeration, nullable, text, uuid } from './kind.ts';
import { type Held, defaulted, defineResource, required } from './resource.ts';
import { identified, standardAttributes } from './standard.ts';

/** What `resource_type` may name. */
export const LOGGABLE_RESOURCES = ['security_group'] as const;

export const log = defineResource({
  collection: 'logs', member: 'log', noun: 'LogResource',
  attributes: {
    ...identified,
    resource_type: required(text(36), { put: false }),
    /** A security group: only its ports are logged. */
    resource_id: defaulted(nullable(uuid), null, { put: false }),
    /** A port: only it is logged. Without either, all ports that have a group of the log's project are. */
    target_id: defaulted(nullable(uuid), null, { put: false }),
    event: defaulted(enumeration('ACCEPT', 'DROP', 'ALL'), 'ALL', { put: false }),
    enabled: defaulted(boolean, true),
    ...standardAttributes,
  },
});
export type Log = Held<typeof log>;
