import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { Admission } from '../../src/actions/gate/admit.ts';
import { GateStatistics } from '../../src/servers/gate/statistics.ts';
import { Durations } from '../../src/servers/metrics.ts';
import { Statistics } from '../../src/servers/resigner/statistics.ts';

const read = (name: string): Promise<string> =>
  readFile(new URL(`../../deploy/monitoring/${name}`, import.meta.url), 'utf8');

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string }[];
  }[];
}
interface Rules {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly annotations: Readonly<Record<string, string>>;
    }[];
  }[];
}

const dashboard = JSON.parse(await read('dashboard.json')) as Dashboard;
const rules = (parse(await read('alerts.yaml')) as Rules).groups.flatMap((group) => group.rules);
const expressions = [
  ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ...rules.map(({ expr }) => expr),
];

/** The metrics that the servers export, each with its labels, after one of everything has happened. */
function exported(): ReadonlyMap<string, ReadonlySet<string>> {
  const gate = new GateStatistics({
    counts: () => ({ hits: 1, misses: 1, joined: 1 }),
    remembered: () => 1,
    underWay: () => 1,
    policyHash: () => 'a'.repeat(64),
    isPolicyStale: () => false,
    isEmergency: false,
    certificateExpires: () => 1,
  });
  gate.verified({ outcome: 'verified', mode: 'enforce', signers: [] }, 1);
  gate.reviewed('mutate', {
    ...{ allowed: false, warnings: [], patch: [], auditAnnotations: {} },
    images: [{ action: 'denied', verdict: { error: { code: 'unsigned' } } }],
  } as unknown as Admission);
  const alarm = { place: 'r.example/app', kind: 'key', code: 'key-invalid' };
  const resigner = new Statistics({
    steps: {
      entries: () => new Map([['r.example/app', { expiries: new Map([['root', new Date()]]) }]]).entries(),
    } as never,
    alarms: { all: () => [{ alarm }] } as never,
    now: () => new Date(),
    collections: () => 1,
    failing: () => 1,
    busy: () => 1,
    pausedRegistries: () => 1,
    isLeader: () => true,
  });
  resigner.step({ kind: 'passed', freshness: { work: 'renewed', folded: 1, conflicts: [] } } as never, 1);
  resigner.step({ kind: 'failed', failure: { code: 'timeout' } } as never, 1);
  resigner.registry.add('operation="resolve"', 1);
  const request = { method: 'POST', route: 'mutate', status: 200, milliseconds: 1, received: 1, sent: 1 };
  for (const { metrics } of [gate, resigner]) metrics.count(request);
  const found = new Map<string, Set<string>>();
  for (const { metrics } of [gate, resigner])
    for (const [, name = '', labels = ''] of metrics.text().matchAll(/^([a-z_]+)(?:\{(.*)\})? [^ ]+$/gm))
      found.set(name, new Set([...labels.matchAll(/([a-z]+)="/g)].map(([, label = '']) => label)));
  return found;
}

/** What Prometheus adds to each series of a pod. */
const ADDED: readonly string[] = ['namespace', 'pod'];
const metrics = exported();

describe('deploy/monitoring', () => {
  it.each([...new Set(expressions)])('asks only for metrics and labels that there are: %s', (expression) => {
    const names = [...expression.matchAll(/\b(?:bulla|process)_[a-z_]+/g)].map(([name]) => name);
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) expect([...metrics.keys()]).toContain(name);
    const labels = new Set([...ADDED, ...names.flatMap((name) => [...(metrics.get(name) ?? [])])]);
    const used = [
      ...[...expression.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(', ')),
      ...[...expression.matchAll(/([a-z]+)=~?"/g)].map(([, label = '']) => label),
    ];
    for (const label of used) expect([...labels], label).toContain(label);
  });

  it('shows each metric of the gate that is not only a sum of others', () => {
    const shown = expressions.join('\n');
    for (const name of metrics.keys())
      if (
        name.startsWith('bulla_gate_') &&
        !/_(?:sum|count)$|_bytes_total$|requests_total$|reloads_total$|alerts_total$/.test(name)
      )
        expect(shown, name).toContain(name);
  });

  it('has panels that do not overlap, and legends with labels that the expression keeps', () => {
    const taken = new Set<string>();
    for (const { title, gridPos, targets = [] } of dashboard.panels) {
      const { x, y, w, h } = gridPos;
      expect(x + w, title).toBeLessThanOrEqual(24);
      for (let column = x; column < x + w; column++)
        for (let row = y; row < y + h; row++) {
          expect(taken.has(`${column} ${row}`), title).toBe(false);
          taken.add(`${column} ${row}`);
        }
      for (const { expr, legendFormat = '' } of targets)
        for (const [, label = ''] of legendFormat.matchAll(/\{\{([a-z]+)\}\}/g))
          expect(expr.includes(' by (') ? expr : `${expr} pod`, title).toContain(label);
    }
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
  });

  it('has alerts that say what is wrong', () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    for (const { alert, annotations } of rules) expect(annotations['summary'], alert).toMatch(/\w/);
  });

  it('finds a metric that does not exist', () => {
    expect(metrics.has('bulla_gate_review_total')).toBe(false);
    expect(new Durations().samples('x')).toEqual([]);
  });
});
