import { describe, expect, it } from 'vitest';
import { bareHost, classOfAddress, isLoopbackHost, reachableFrom } from '../../src/http/address.ts';

describe('classOfAddress', () => {
  it.each([
    ['8.8.8.8', 'public'],
    ['2606:4700::1111', 'public'],
    ['::ffff:8.8.8.8', 'public'],
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['::1', 'loopback'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['::ffff:7f00:1', 'loopback'],
    ['10.0.0.1', 'private'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['172.32.0.1', 'public'],
    ['192.168.0.1', 'private'],
    ['100.64.0.1', 'private'],
    ['fd12:3456::1', 'private'],
    ['::ffff:10.0.0.1', 'private'],
    ['169.254.169.254', 'link-local'],
    ['fe80::1', 'link-local'],
    ['fe80::1%eth0', 'link-local'],
    ['0.0.0.0', 'reserved'],
    ['::', 'reserved'],
    ['::127.0.0.1', 'reserved'],
    ['224.0.0.1', 'reserved'],
    ['255.255.255.255', 'reserved'],
    ['64:ff9b::7f00:1', 'reserved'],
    ['2002:7f00:1::', 'reserved'],
    ['2001:0:1::', 'reserved'],
    ['ff02::1', 'reserved'],
    ['example.com', undefined],
    ['', undefined],
    ['127.1', undefined],
  ])('puts %s among %s', (address, kind) => {
    expect(classOfAddress(address)).toBe(kind);
  });

  it('is not fooled by the other spellings that a URL takes', () => {
    for (const spelling of ['127.1', '2130706433', '0x7f.1', '0177.0.0.1', '[::ffff:127.0.0.1]']) {
      expect(classOfAddress(bareHost(new URL(`http://${spelling}/`))), spelling).toBe('loopback');
    }
  });
});

it.each([
  ['localhost', true],
  ['LOCALHOST', true],
  ['registry.localhost', true],
  ['127.0.0.1', true],
  ['127.8.8.8', true],
  ['[::1]', true],
  ['localhost.example.com', false],
  ['notlocalhost', false],
  ['10.0.0.1', false],
])('isLoopbackHost(%s) is %s', (host, loopback) => {
  expect(isLoopbackHost(host)).toBe(loopback);
});

it('lets nobody reach beyond their own kind, but the public', () => {
  expect([...reachableFrom('public')]).toEqual(['public']);
  expect([...reachableFrom(undefined)]).toEqual(['public']);
  expect([...reachableFrom('private')].sort()).toEqual(['private', 'public']);
  expect([...reachableFrom('loopback')].sort()).toEqual(['loopback', 'private', 'public']);
});
