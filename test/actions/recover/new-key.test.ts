import { describe, expect, it } from 'vitest';
import { newKeyStep, placeBeside } from '../../../src/actions/recover/new-key.ts';

describe('where a new key is made for one that is kept elsewhere', () => {
  it.each<[string, string | undefined]>([
    ['pkcs11:token=a%20token;object=root', 'pkcs11:token=a%20token;object=next'],
    ['pkcs11:object=root;token=t;id=%01?module-path=/x.so', 'pkcs11:token=t;object=next?module-path=/x.so'],
    ['pkcs11:id=%02', 'pkcs11:object=next'],
    ['openbao://root', 'openbao://next'],
    ['hashivault://team/transit/root?version=3', 'hashivault://team/transit/next'],
    ['awskms:///alias/root', 'awskms:///alias/next'],
    ['awskms://localhost:4566/1234abcd-12ab-34cd-56ef-1234567890ab', 'awskms://localhost:4566/alias/next'],
    ['awskms:///arn:aws:kms:eu-central-1:111122223333:alias/root', 'awskms:///alias/next'],
    [
      'gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/root/cryptoKeyVersions/2',
      'gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/next',
    ],
    ['azurekms://v.vault.azure.net/root/0123', 'azurekms://v.vault.azure.net/next'],
    ['ssh-agent:me@example.com', undefined],
    ['k8s://team/root', undefined],
    ['notation-plugin:name/key', undefined],
    ['my-kms://root', undefined],
  ])('%s', (uri, beside) => {
    expect(placeBeside(uri, 'next')).toBe(beside);
    const step = newKeyStep('next', 'a new key', { keyid: 'k', name: 'old' }, new Map([['old', uri]]));
    expect(step.command).toEqual([
      'bulla',
      'key',
      'generate',
      'next',
      ...(beside === undefined ? [] : ['--at', beside]),
    ]);
    if (beside === undefined) expect(step.why).toContain('bulla key import URI next');
  });

  it('is the key store for others', () => {
    expect(newKeyStep('next', 'a new key', { keyid: 'k', name: 'old' }, new Map()).command).toHaveLength(4);
    expect(newKeyStep('next', 'a new key', { keyid: 'k' }, undefined).command).toHaveLength(4);
  });
});
