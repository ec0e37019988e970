import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { AgentMessage } from '#protocol/messages.ts';
import { Questions } from './questions.ts';

const question = { network_id: 'n', address: '10.0.0.5' };
const answer = { instance_id: 'vm', project_id: 'p', signature: 'ab' };

test('N-MD-7: each question gets its own answer, in whatever order they come', async () => {
  const sent: AgentMessage[] = [];
  const questions = new Questions((message) => (sent.push(message), true));
  const [first, second, third] = [questions.ask(question), questions.ask({ ...question, address: '10.0.0.6' }), questions.ask(question)];
  assert.deepEqual(sent[0], { type: 'ask', id: 1, method: 'metadata_instance', params: question });
  questions.told({ type: 'told', id: 2, result: null });
  questions.told({ type: 'told', id: 3, error: 'no store' });
  questions.told({ type: 'told', id: 1, result: answer });
  questions.told({ type: 'told', id: 1, result: null });
  assert.deepEqual([await first, await second], [answer, null]);
  await assert.rejects(third, /^Error: no store$/);
});

test('without a connection, after its loss and after a while the answer is that there is none', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  let connected = false;
  const questions = new Questions(() => connected);
  await assert.rejects(questions.ask(question), /not connected/);
  connected = true;
  const lost = questions.ask(question);
  questions.lost();
  await assert.rejects(lost, /went away/);
  const silent = questions.ask(question);
  mock.timers.tick(5_000);
  await assert.rejects(silent, /does not answer/);
  mock.timers.reset();
});
