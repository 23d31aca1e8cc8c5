import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import {
  assertSame,
  hookScript,
  imageOf,
  parsePullQuestion,
  reasonOf,
} from '../../../src/actions/gate/pull.ts';
import { BullaError } from '../../../src/errors.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const OTHER = `sha256:${'b'.repeat(64)}`;
const TYPE = ['-stdin-media-type', 'application/vnd.oci.descriptor.v1+json'];
const descriptor = (digest: unknown = DIGEST): Buffer =>
  Buffer.from(JSON.stringify({ digest, mediaType: 'x', size: 1 }));

describe('the question of containerd', () => {
  it.each([
    ['r.example/app:v1', `r.example/app:v1@${DIGEST}`],
    ['r.example/app', `r.example/app@${DIGEST}`],
    [`r.example/app@${DIGEST}`, `r.example/app@${DIGEST}`],
    [`r.example/app:v1@${DIGEST}`, `r.example/app:v1@${DIGEST}`],
    ['docker.io/library/nginx:1', `docker.io/library/nginx:1@${DIGEST}`],
  ])('%s is about %s', (name, image) => {
    expect(imageOf(parsePullQuestion(['-name', name, '-digest', DIGEST, ...TYPE], descriptor()))).toBe(image);
  });

  it.each<[string, readonly string[], Buffer, string]>([
    ['no arguments', [], descriptor(), 'usage'],
    ['no digest', ['-name', 'r.example/app:v1', ...TYPE], descriptor(), 'usage'],
    ['an argument without a value', ['-name', 'r.example/app:v1', '-digest'], descriptor(), 'usage'],
    [
      'a name twice',
      ['-name', 'r.example/a:1', '-name', 'r.example/b:1', '-digest', DIGEST, ...TYPE],
      descriptor(),
      'usage',
    ],
    ['a layout', ['-name', 'oci:/x', '-digest', DIGEST, ...TYPE], descriptor(), 'usage'],
    [
      'a digest that is none',
      ['-name', 'r.example/a:1', '-digest', 'sha256:00', ...TYPE],
      descriptor(),
      'content-invalid',
    ],
    [
      'another type',
      ['-name', 'r.example/a:1', '-digest', DIGEST, '-stdin-media-type', 'x'],
      descriptor(),
      'usage',
    ],
    [
      'another digest in the name',
      ['-name', `r.example/a@${OTHER}`, '-digest', DIGEST, ...TYPE],
      descriptor(),
      'digest-mismatch',
    ],
    [
      'another digest in the descriptor',
      ['-name', 'r.example/a:1', '-digest', DIGEST, ...TYPE],
      descriptor(OTHER),
      'digest-mismatch',
    ],
    [
      'a descriptor without a digest',
      ['-name', 'r.example/a:1', '-digest', DIGEST, ...TYPE],
      Buffer.from('{}'),
      'content-invalid',
    ],
    [
      'no descriptor',
      ['-name', 'r.example/a:1', '-digest', DIGEST, ...TYPE],
      Buffer.alloc(0),
      'content-invalid',
    ],
    [
      'an uppercase host port trick',
      ['-name', 'r.example:0x50/a:1', '-digest', DIGEST, ...TYPE],
      descriptor(),
      'usage',
    ],
  ])('with %s denies', (_, args, stdin, code) => {
    expect(() => parsePullQuestion(args, stdin)).toThrow(expect.objectContaining({ code }));
  });

  it('is answered for the digest that is pulled, and for no other', () => {
    const pull = parsePullQuestion(['-name', 'r.example/app:v1', '-digest', DIGEST, ...TYPE], descriptor());
    assertSame(pull, `r.example/app@${DIGEST}`);
    expect(() => assertSame(pull, `r.example/app@${OTHER}`)).toThrow(
      expect.objectContaining({ code: 'digest-mismatch' }),
    );
  });
});

it('gives a reason on one line, of bounded length', () => {
  const error = new BullaError('unsigned', `no\nsignature ${'x '.repeat(3000)}`, {
    lines: true,
    hint: 'sign it',
  });
  expect(reasonOf(error)).not.toContain('\n');
  expect(reasonOf(error).length).toBeLessThanOrEqual(2000);
  expect(reasonOf(new BullaError('unsigned', 'none', { hint: 'sign it' }))).toBe('none [unsigned] (sign it)');
});

it('writes a program that passes the question on as it is, whatever the paths are', () => {
  const script = hookScript(['/bin/echo', "it's", '$(false)'], "/var/lib/it's");
  const printed = execFileSync('/bin/sh', ['-c', script, 'hook', '-name', 'a b', '$x'], { encoding: 'utf8' });
  expect(printed).toBe("it's $(false) -- -name a b $x\n");
});
