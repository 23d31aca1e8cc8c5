import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { EXIT_CODES } from '../../src/errors.ts';
import { describe as describeBytes } from '../../src/oci/descriptor.ts';
import { placeOf } from '../../src/oci/place.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { readPins } from '../../src/state/pins.ts';
import { TrustDirectory } from '../../src/state/trust-directory.ts';
import { certifiedBinding, parseCollectionId, rootBinding } from '../../src/trust/format/binding.ts';
import { checkPin, collectionUnder, findPin } from '../../src/trust/read/pin.ts';
import { certify } from '../support/certificates.ts';
import { temporaryDirectory } from '../support/cli.ts';

const page = await readFile(new URL('../../spec/trust-reading.md', import.meta.url), 'utf8');

function example(name: string): string {
  return new RegExp(`\`\`\`json ${name}\\n([\\s\\S]*?)\\n\`\`\``).exec(page)?.[1] ?? `no example ${name}`;
}

/** Rows of the table whose first heading is given. */
function table(heading: string): string[][] {
  const lines = page.split('\n');
  const start = lines.findIndex((line) => line.startsWith(`| ${heading} |`));
  const end = lines.findIndex((line, index) => index > start && !line.startsWith('|'));
  return lines.slice(start + 2, end < 0 ? undefined : end).map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
}

describe('spec/trust-reading.md', () => {
  it('names codes that there are', () => {
    const codes = [...page.matchAll(/`((?:trust|content|certificate|config|registry|storage)-[a-z]+)`/g)];
    expect(codes.length).toBeGreaterThan(20);
    for (const [, code] of codes) expect(EXIT_CODES).toHaveProperty(code!);
  });

  const pins = readPins(utf8(example('pins')), 'the example');

  it.each(table('Repository'))(
    'of %s, the pin of %s holds, and the name is %s',
    (repository, scope, name) => {
      const pin = findPin(pins.values(), repository!);
      expect(pin?.scope ?? '–').toBe(scope);
      expect(pin === undefined ? '–' : collectionUnder(pin, repository!)).toBe(name);
    },
  );

  it.each(table('Text'))('%s is the place %s', (text, place) => {
    expect(placeOf(parseReference(text!) as RegistryReference)).toBe(place);
  });

  it.each(table('Scope'))('a pin of %s with the collection %s is %s', (scope, collection, outcome) => {
    const mapping = collection === '–' ? undefined : collection;
    const check = () => checkPin({ scope: scope!, trust: { kind: 'tofu' }, collection: mapping });
    if (outcome === 'ok') expect(check).not.toThrow();
    else expect(check).toThrowError(expect.objectContaining({ code: 'usage' }));
  });

  it('shows the binding of a root with certificates', async () => {
    const { certificate } = await certify('CN=x');
    const shown = JSON.parse(example('binding')) as { collection: string; certificates: object };
    const [keyid = ''] = Object.keys(shown.certificates);
    const root = { roles: { root: { keyids: [keyid] } }, bulla: rootBinding(shown.collection) };
    const made = certifiedBinding(root, new Map([[keyid, [certificate, certificate]]]));
    const texts = (binding: object) => JSON.stringify(binding).replace(/"MII[^"]*"/g, '"…"');
    expect(texts(made)).toBe(texts(shown));
  });

  it('shows where things are remembered', async () => {
    const path = await temporaryDirectory();
    const place = 'registry.example.com/team/app';
    const id = parseCollectionId('1'.repeat(64));
    const memory = new TrustDirectory(path);
    await memory.note(place, id);
    const collection = await memory.open(id);
    await collection.keep('names', utf8('{}'));
    const bytes = utf8('{}');
    const descriptor = describeBytes('application/vnd.oci.image.manifest.v1+json', bytes);
    await collection.keepHead(place, { content: { descriptor, bytes }, refreshedAt: new Date(0) });
    const hash = createHash('sha256').update(place).digest('hex');
    for (const [where] of table('Path')) {
      const file = join(path, where!.replace('SHA256', hash).replace('ID', id));
      if (where!.endsWith('/')) expect(await readdir(file)).toEqual(['names.json']);
      else expect((await readFile(file)).byteLength).toBeGreaterThan(0);
    }
    expect(JSON.parse(await readFile(join(path, 'places', `${hash}.json`), 'utf8'))).toEqual({ place, id });
  });
});
