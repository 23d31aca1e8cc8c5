import { describe, expect, it } from 'vitest';
import { Progress } from '../../../src/cli/shell/progress.ts';

describe('progress on a terminal', () => {
  it.each([[0], [undefined]])('shows whole lines where the width is told as %s', (columns) => {
    let shown = '';
    const width = columns === undefined ? {} : { columns };
    const progress = new Progress({ isTTY: true, ...width, write: (text) => (shown += text) }, true);
    progress.start('a', 'layer', 10);
    progress.end('a', 'pushed layer', 10);
    expect(shown).toContain('pushed layer\n');
    expect(shown).not.toContain('\u2026');
  });

  it('cuts a line that would wrap', () => {
    let shown = '';
    const progress = new Progress({ isTTY: true, columns: 10, write: (text) => (shown += text) }, true);
    progress.end('a', 'pushed a layer', 10);
    expect(shown).toContain('pushed a\u2026\n');
  });
});
