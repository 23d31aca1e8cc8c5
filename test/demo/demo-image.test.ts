import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { demoImage } from '../support/demo-image.ts';

const layout = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;

describe('the demo image', () => {
  it('is byte for byte what its source makes', async () => {
    const made = await demoImage();
    const kept = readdirSync(layout, { recursive: true, encoding: 'utf8' }).filter((path) =>
      statSync(join(layout, path)).isFile(),
    );
    expect(kept.sort()).toEqual([...made.keys()].sort());
    for (const [path, content] of made) {
      expect(readFileSync(join(layout, path)).equals(content), path).toBe(true);
    }
  });
});
