/** Attributes that every Networking resource has (standard-attr-*, project-id). */
import { integer, list, nullable, text, uuid } from './kind.ts';
import { defaulted, optional, readOnly } from './resource.ts';

export const identified = {
  id: readOnly(uuid),
  name: defaulted(text(255), ''),
  project_id: optional(text(255), { put: false }),
};

export const standardAttributes = {
  description: defaulted(nullable(text(255)), ''),
  created_at: readOnly(text(32)),
  updated_at: readOnly(text(32)),
  revision_number: readOnly(integer()),
};

export const tagged = {
  tags: readOnly(list(text(255))),
};
