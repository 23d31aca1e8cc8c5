import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { printable, redactHeader, redactUrl } from '../../src/http/redact.ts';

describe('redactUrl', () => {
  it.each([
    ['https://r.example.com/v2/app/manifests/v1', 'https://r.example.com/v2/app/manifests/v1'],
    ['https://user:pw@r.example.com/', 'https://redacted@r.example.com/'],
    ['https://r.example.com/x#token=1', 'https://r.example.com/x'],
    ['https://s3.example.com/x?X-Amz-Signature=abc', 'https://s3.example.com/x?X-Amz-Signature=[redacted]'],
    [
      'https://r.example.com/v2/app/tags/list?n=5&last=v1',
      'https://r.example.com/v2/app/tags/list?n=5&last=v1',
    ],
    ['nonsense', '[not a URL]'],
  ])('shows %s as %s', (url, shown) => {
    expect(redactUrl(url)).toBe(shown);
  });

  it('shows no value of a parameter that it does not know', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-z]{3,12}$/),
        fc.stringMatching(/^[0-9A-F]{16,40}$/),
        (name, secret) => {
          const known = ['digest', 'mount', 'from', 'last', 'service', 'scope', 'tag'].includes(name);
          expect(redactUrl(`https://h.example.com/p?${name}=${secret}`).includes(secret)).toBe(known);
        },
      ),
    );
  });
});

describe('redactHeader', () => {
  it.each([
    ['Authorization', 'Bearer abc', 'Bearer [redacted]'],
    ['authorization', 'Basic dXNlcjpwdw==', 'Basic [redacted]'],
    ['Authorization', 'abc', '[redacted]'],
    ['Proxy-Authorization', 'Basic abc', 'Basic [redacted]'],
    ['Set-Cookie', 'session=1', '[redacted]'],
    ['Location', 'https://s3.example.com/x?sig=abc', 'https://s3.example.com/x?sig=[redacted]'],
    ['Location', '/v2/app/blobs/uploads/1?_state=abc', '/v2/app/blobs/uploads/1?[redacted]'],
    ['Content-Type', 'text/plain', 'text/plain'],
  ])('shows %s: %s as %s', (name, value, shown) => {
    expect(redactHeader(name, value)).toBe(shown);
  });
});

it('printable keeps nothing that moves a cursor or turns text around', () => {
  expect(printable('a\u001b[2Jb\u202ec\r\nd\u2028e')).toBe('a [2Jb c d e');
  expect(printable('x'.repeat(1000), 10)).toHaveLength(10);
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !/[\p{Cc}\p{Cf}]/u.test(printable(text))));
});

describe('headers of others', () => {
  it.each([
    ['X-Amz-Security-Token', 'secret', '[redacted]'],
    ['X-Registry-Auth', 'secret', '[redacted]'],
    ['X-Gitlab-Token', 'secret', '[redacted]'],
    ['Private-Token', 'secret', '[redacted]'],
    ['X-Goog-Iam-Authorization-Token', 'secret', '[redacted]'],
    ['Cf-Access-Token', 'secret', '[redacted]'],
    ['Set-Cookie2', 'secret', '[redacted]'],
    ['Proxy-Authorization', 'Basic secret', 'Basic [redacted]'],
    ['Location', '//me:secret@host/path', '//redacted@host/path'],
    ['Location', 'ftp://me:secret@host/x?sig=secret', 'ftp://redacted@host/x?sig=[redacted]'],
    [
      'Link',
      '</v2/a/tags/list?n=1&last=b&token=secret>; rel="next"',
      '</v2/a/tags/list?n=1&last=b&token=[redacted]>; rel="next"',
    ],
    [
      'WWW-Authenticate',
      'Bearer realm="https://h/t?key=secret",service="s"',
      'Bearer realm="https://h/t?key=[redacted]",service="s"',
    ],
    ['WWW-Authenticate', 'Negotiate c2VjcmV0c2VjcmV0', 'Negotiate'],
    ['ETag', '"sha256:1"', '"sha256:1"'],
  ])('shows %s: %s as %s', (name, value, shown) => {
    expect(redactHeader(name, value)).toBe(shown);
  });
});
