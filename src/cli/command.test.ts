import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Command, UsageError, expectPositionals, helpOf, integerOption, readArguments } from './command.ts';

const command: Command = {
  usage: '[--hosts N] HOST -- CMD...',
  summary: 'do it',
  options: { hosts: { type: 'string', value: 'N', help: 'how many' }, purge: { type: 'boolean', help: 'all of it' } },
  run: async () => 0,
};

test('options, positionals and what follows -- are kept apart', () => {
  const invocation = readArguments(command, ['--hosts', '3', 'compute1', '--state', '/tmp/x/../y', '--', 'ls', '--purge', '--', '-l']);
  assert.equal(invocation.state, '/tmp/y');
  assert.equal(integerOption(invocation, 'hosts'), 3);
  assert.deepEqual(expectPositionals(invocation, 'HOST'), ['compute1']);
  assert.deepEqual(invocation.rest, ['ls', '--purge', '--', '-l']);
  assert.equal(invocation.options['purge'], undefined);
  assert.equal(readArguments(command, ['compute1']).rest, undefined);
});

test('PATCHBAY_STATE stands for --state, and --state is stronger', (t) => {
  const before = process.env['PATCHBAY_STATE'];
  t.after(() => (before === undefined ? delete process.env['PATCHBAY_STATE'] : (process.env['PATCHBAY_STATE'] = before)));
  process.env['PATCHBAY_STATE'] = '/tmp/x/../z';
  assert.equal(readArguments(command, ['compute1']).state, '/tmp/z');
  assert.equal(readArguments(command, ['compute1', '--state', '/tmp/y']).state, '/tmp/y');
});

test('wrong arguments are one line each', () => {
  const complaint = (argv: string[], look: (invocation: ReturnType<typeof readArguments>) => unknown = () => {}) => {
    try {
      look(readArguments(command, argv));
      return 'none';
    } catch (error) {
      assert.ok(error instanceof UsageError);
      assert.doesNotMatch(error.message, /\n/);
      return error.message;
    }
  };
  assert.equal(complaint(['--foo']), "unknown option '--foo'");
  assert.equal(complaint(['--foo=1']), "unknown option '--foo'");
  assert.match(complaint(['--hosts']), /^option '--hosts <value>' argument missing$/);
  assert.match(complaint(['--purge=1']), /^option '--purge' does not take an argument$/);
  assert.equal(complaint(['--hosts', 'two'], (call) => integerOption(call, 'hosts')), "--hosts takes a whole number, not 'two'");
  assert.equal(complaint(['--hosts=-1'], (call) => integerOption(call, 'hosts')), "--hosts takes a whole number, not '-1'");
  assert.equal(complaint([], (call) => expectPositionals(call, 'HOST')), 'HOST is missing');
  assert.equal(complaint(['a', 'b'], (call) => expectPositionals(call, 'HOST')), "unexpected argument 'b'");
});

test('a pass-through command gets its arguments untouched', () => {
  assert.deepEqual(readArguments({ ...command, passThrough: true }, ['--anything', '--', 'x']).rest, ['--anything', '--', 'x']);
});

test('the help lists each option in columns', () => {
  assert.equal(helpOf('do', command), `usage: patchbay do [--hosts N] HOST -- CMD...

do it

  --hosts N    how many
  --purge      all of it
  --state DIR  where this data centre keeps its state (or set PATCHBAY_STATE)
  --help       show this help`);
});
