import { describe, expect, it } from 'vitest';
import { tellCollection } from '../../../src/cli/render/copy-text.ts';
import { Output } from '../../../src/cli/shell/output.ts';
import { shellWord } from '../../../src/encoding/shell-word.ts';
import { parseReference } from '../../../src/oci/reference.ts';

describe('words in commands that people are told to type', () => {
  it.each([
    ['ci', 'ci'],
    ['registry.example.com:5000/team/app', 'registry.example.com:5000/team/app'],
    ['$(touch owned)', "'$(touch owned)'"],
    ["it's; true", "'it'\\''s; true'"],
    ['', "''"],
  ])('are quoted where a shell would see more in them: %s', (word, quoted) => {
    expect(shellWord(word)).toBe(quoted);
  });

  it('are quoted where a collection that nobody vouches for says how it is called', () => {
    const said: string[] = [];
    const stream = { isTTY: false, columns: 80, write: (text: string) => said.push(text) };
    const output = new Output({ stdout: stream, stderr: stream, env: {} } as never, {
      json: false,
      quiet: false,
      verbose: false,
    });
    const [from, to] = ['a.example.com/app', 'b.example.com/app'].map(parseReference);
    tellCollection(output, from as never, to as never, { outcome: 'copied', name: '$(touch owned)' });
    expect(said.join('')).toContain("--collection '$(touch owned)'");
  });
});
