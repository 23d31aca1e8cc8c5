import { BULLA } from '../interop/peers.ts';
import { inTurns, measure } from './measure.ts';
import type { Bench } from './report.ts';

/** `bulla --version` beside `node -e 0`. */
export const bench: Bench = async ({ runs }) => {
  const commands = {
    'node -e 0': [process.execPath, '-e', '0'],
    'bulla --version': [process.execPath, BULLA, '--version'],
    'bulla verify --help': [process.execPath, BULLA, 'verify', '--help'],
  } as const;
  type Name = keyof typeof commands;
  const names = Object.keys(commands) as Name[];
  const costs = await inTurns(names, Math.max(3, runs * 4), (name) => measure({ argv: commands[name] }));
  const wall = (name: Name): number => costs.get(name)?.wall ?? Number.NaN;
  return [
    {
      title: 'Start-up',
      columns: ['command', 'ms', 'CPU ms', 'RSS MiB'],
      rows: names.map((name) => [
        name,
        wall(name),
        costs.get(name)?.cpu ?? Number.NaN,
        costs.get(name)?.rss ?? Number.NaN,
      ]),
      goals: [
        {
          what: '`bulla --version` ÷ `node -e 0`',
          measured: wall('bulla --version') / wall('node -e 0'),
          atMost: 1.4,
        },
      ],
    },
  ];
};
