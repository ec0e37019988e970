/** docs/errors.md lists the error registry, entry by entry. PATCHBAY_WRITE_DOCS=1 writes its tables anew. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { COMPUTE_ERRORS } from '#model/errors-compute.ts';
import { IDENTITY_ERRORS } from '#model/errors-identity.ts';
import { NETWORK_ERRORS } from '#model/errors-network.ts';
import { type ErrorEntry, errorRegistry } from '#model/errors.ts';

const FILE = new URL('../../docs/errors.md', import.meta.url);
const SECTIONS = { Networking: NETWORK_ERRORS, Identity: IDENTITY_ERRORS, 'Compute and Image': COMPUTE_ERRORS } as const;

test('every error of the registry stands under its service with its status and message', () => {
  const page = readFileSync(FILE, 'utf8');
  const wanted = [page.split('\n## ')[0]!.trimEnd(), ...Object.entries(SECTIONS).map(([title, errors]) => section(title, errors))].join('\n\n') + '\n';
  if (process.env['PATCHBAY_WRITE_DOCS']) writeFileSync(FILE, wanted);
  else assert.equal(page, wanted, 'docs/errors.md is out of date: PATCHBAY_WRITE_DOCS=1 ./patchbay test unit writes it');
});

test('the sections are the whole registry', () => {
  const types = Object.values(SECTIONS).flatMap((errors) => Object.keys(errors));
  assert.deepEqual(types.toSorted(), [...errorRegistry().keys()].toSorted());
});

function section(title: string, errors: Readonly<Record<string, ErrorEntry>>): string {
  const rows = Object.entries(errors).map(([type, [status, message]]) => `| \`${type}\` | ${status} | ${message.replaceAll('|', '\\|')} |`);
  return [`## ${title}`, '', '| type | status | message |', '|---|---|---|', ...rows].join('\n');
}
