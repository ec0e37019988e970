import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { readUserData } from './cloud-config.ts';

const read = (text: string) => readUserData(Buffer.from(text))!;

/** What was laid out, as one text; without the digest. */
function laidOut(text: string): string {
  const { files } = read(text);
  return [...files].filter(([path, content]) => path !== 'sha256' && content.length > 0).map(([path, content]) => `${path}:\n${content.toString().replaceAll(/^(?=.)/gm, '  ')}`).join('');
}

const notes = (text: string) => read(text).files.get('notes')!.toString();

test('a script needs no reading, and nothing is nothing', () => {
  assert.equal(readUserData(Buffer.from('#!/bin/sh\n#cloud-config\n')), undefined);
  assert.equal(readUserData(Buffer.alloc(0)), undefined);
});

test('write_files, keys, commands and the name become files that a shell can apply', () => {
  const text = `#cloud-config
hostname: web-1
ssh_authorized_keys:
  - ssh-ed25519 AAAA me
  - |
    ssh-rsa BBBB
write_files:
  - path: /etc/motd
    content: |
      hello
      world
    permissions: '0600'
    owner: cirros:cirros
  - {path: /etc/hosts, content: "10.0.0.9 db\\n", append: true, permissions: 0644}
  - path: /opt/tool
    encoding: b64
    content: IyEvYmluL3NoCg==
    permissions: 0o755
runcmd:
  - echo "$HOME" > /tmp/home
  - [printf, '%s|', "it's", 5, yes]
  - null
packages: [nginx]
users: []
`;
  assert.equal(laidOut(text), `authorized_keys:
  ssh-ed25519 AAAA me
  ssh-rsa BBBB
write_files/0000/content:
  hello
  world
write_files/0000/file:
  /etc/motd
  cirros:cirros
  0600
  replace
write_files/0001/content:
  10.0.0.9 db
write_files/0001/file:
  /etc/hosts
  root:root
  0644
  append
write_files/0002/content:
  #!/bin/sh
write_files/0002/file:
  /opt/tool
  root:root
  0755
  replace
runcmd:
  #!/bin/sh
  echo "$HOME" > /tmp/home
  'printf' '%s|' 'it'\\''s' '5' 'true'
notes:
  cloud-config: ignored, not known here: packages, users
`);
  assert.equal(read(text).hostname, 'web-1');
  assert.equal(read(text).files.get('sha256')!.toString(), `${createHash('sha256').update(text).digest('hex')}\n`);
});

test('content of every encoding that cloud-init takes', () => {
  const plain = Buffer.from([0, 1, 2, 0xff, 0x0a]);
  const content = (encoding: string, value: string) => read(`#cloud-config\nwrite_files: [{path: /f, encoding: ${encoding}, content: ${value}}]`).files.get('write_files/0000/content');
  for (const encoding of ['b64', 'base64', 'BASE64']) assert.deepEqual(content(encoding, plain.toString('base64')), plain, encoding);
  for (const encoding of ['gz+b64', 'gzip+base64', 'gz+base64', 'gzip+b64']) assert.deepEqual(content(encoding, gzipSync(plain).toString('base64')), plain, encoding);
  assert.deepEqual(content('gzip', `!!binary ${gzipSync(plain).toString('base64')}`), plain);
  assert.deepEqual(content('text/plain', 'as it is'), Buffer.from('as it is'));
  assert.deepEqual(content('plain', '17'), Buffer.from('17'));
});

test('what cannot be done is a line on the console, and the rest is done', () => {
  const cases: [yaml: string, note: string][] = [
    ['write_files: [{path: etc/x}]', 'cloud-config: write_files 1 ignored: its path is not absolute'],
    ['write_files: [{path: "/etc/x\\nroot:root"}]', 'cloud-config: write_files 1 ignored: its path is not absolute'],
    ['write_files: [17, {path: /ok}]', 'cloud-config: write_files 1 ignored: its path is not absolute'],
    ['write_files: [{path: /x, permissions: rw}]', 'cloud-config: write_files /x ignored: permissions rw are not octal'],
    ['write_files: [{path: /x, owner: "root; reboot"}]', 'cloud-config: write_files /x ignored: owner is not USER:GROUP'],
    ['write_files: [{path: /x, encoding: rot13}]', 'cloud-config: write_files /x ignored: encoding rot13 is not known here'],
    ['write_files: [{path: /x, encoding: __proto__}]', 'cloud-config: write_files /x ignored: encoding __proto__ is not known here'],
    ['write_files: [{path: /x, encoding: gz, content: plain}]', 'cloud-config: write_files /x ignored: its gzip cannot be unpacked: incorrect header check'],
    ['write_files: [{path: /x, content: {a: 1}}]', 'cloud-config: write_files /x ignored: content is no text'],
    ['write_files: [{path: /x, defer: true}]', 'cloud-config: write_files /x: ignored, not known here: defer'],
    ['write_files: yes', 'cloud-config: write_files ignored: it is no list'],
    ['runcmd: [{a: 1}]', 'cloud-config: a runcmd is ignored: it is neither text nor a list'],
    ['hostname: "a b"', 'cloud-config: hostname ignored: it is no name of letters, digits, hyphens and dots'],
    ['"bad\\nkey\\e[2J": 1', 'cloud-config: ignored, not known here: bad?key?[2J'],
  ];
  for (const [yaml, note] of cases) {
    assert.equal(notes(`#cloud-config\n${yaml}\nssh_authorized_keys: [key]\n`), `${note}\n`, yaml);
    assert.equal(read(`#cloud-config\n${yaml}\nssh_authorized_keys: [key]\n`).files.get('authorized_keys')!.toString(), 'key\n', yaml);
  }
});

test('what is no cloud-config, or no YAML, is named', () => {
  const mime = 'Content-Type: multipart/mixed; boundary="=="\nMIME-Version: 1.0\n\n--==\n';
  assert.equal(notes(mime), 'user data ignored: multi-part MIME is not read here; give one script or one #cloud-config\n');
  assert.equal(notes('hello'), 'user data ignored: it begins neither with #! nor with #cloud-config\n');
  assert.equal(readUserData(gzipSync('#cloud-config\n'))!.files.get('notes')!.toString(), 'user data ignored: compressed user data is not read here\n');
  assert.match(notes('#cloud-config\na: [1'), /^user data ignored: not valid YAML: Flow sequence .*\n$/);
  assert.equal(notes('#cloud-config\n- a\n'), 'user data ignored: a #cloud-config must hold NAME: VALUE\n');
  assert.equal(notes('#cloud-config\n'), '');
});

test('bombs go off alone: deep nesting, aliases of aliases, gzip of zeros', () => {
  assert.match(notes(`#cloud-config\na: ${'['.repeat(40_000)}`), /^user data ignored: not valid YAML/);
  const laughs = `#cloud-config\na: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghi'.split('').map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(',')}]`).join('\n')}\nruncmd: [*i]`;
  assert.match(notes(laughs), /^user data ignored: not valid YAML: Excessive alias count/);
  const zeros = gzipSync(Buffer.alloc(40 * 1024 * 1024)).toString('base64');
  assert.match(notes(`#cloud-config\nwrite_files: [{path: /zeros, encoding: gz+b64, content: ${zeros}}]`), /^cloud-config: write_files \/zeros ignored: its gzip cannot be unpacked: /);
  const mebibyte = gzipSync(Buffer.alloc(1024 * 1024)).toString('base64');
  const many = `#cloud-config\nx: &x ${mebibyte}\nwrite_files:\n${[1, 2, 3].map((n) => `- {path: /${n}, encoding: gz+b64, content: *x}\n`).join('')}`;
  assert.match(notes(many), /write_files \/3 ignored: all together is larger than 2097152 bytes\n/);
});
