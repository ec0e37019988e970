import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sortByTime, withSource } from './logs.ts';
import { formatOpenrc } from './openrc.ts';

test('openrc quotes what a shell would take apart', () => {
  const user = { username: 'demo', password: `a'b $(x)`, project_name: 'demo', user_domain_name: 'Default', project_domain_name: 'Default' };
  assert.equal(formatOpenrc(user, { url: 'http://127.0.0.1:8770', region: 'RegionOne' }).join('\n'), `export OS_AUTH_URL='http://127.0.0.1:8770/identity/v3'
export OS_IDENTITY_API_VERSION='3'
export OS_USERNAME='demo'
export OS_PASSWORD='a'\\''b $(x)'
export OS_PROJECT_NAME='demo'
export OS_USER_DOMAIN_NAME='Default'
export OS_PROJECT_DOMAIN_NAME='Default'
export OS_REGION_NAME='RegionOne'
export OS_INTERFACE='public'`);
});

test('log lines of several files are sorted by time; a crash stays behind the line before it', () => {
  const controller = ['{"time":"2026-11-23T10:00:00.000Z","msg":"a"}', 'TypeError: boom', '{"time":"2026-11-23T10:00:02.000Z","msg":"c"}'];
  const host = [`{"time":${Date.parse('2026-11-23T10:00:01.000Z')},"msg":"b"}`];
  const lines = [...controller.map((line) => withSource(line, 'controller')), ...host.map((line) => withSource(line, 'compute1'))];
  assert.deepEqual(sortByTime(lines).map((line) => JSON.parse(line)).map(({ source, msg }) => `${source} ${msg}`), [
    'controller a', 'controller TypeError: boom', 'compute1 b', 'controller c',
  ]);
});
