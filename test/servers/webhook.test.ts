import { createServer } from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { AlarmEvent } from '../../src/actions/renew/alarms.ts';
import { HttpPool } from '../../src/http/pool.ts';
import { alarmsJson } from '../../src/servers/resigner/alarm-json.ts';
import { Webhook } from '../../src/servers/webhook.ts';
import { listen } from '../support/listen.ts';
import { FakeTiming } from '../support/registry/open.ts';

const event = (place: string): AlarmEvent => ({
  state: 'firing',
  since: new Date('2030-01-01T00:00:00Z'),
  alarm: { kind: 'rollback', place, code: 'trust-rollback', message: 'went back', hint: 'look' },
});

/** A webhook that answers as it is told, and what it was sent. */
async function hook(answers: readonly number[], path = '/T0/secret-path') {
  const bodies: { headers: Record<string, unknown>; json: { alarms: { place: string }[] } }[] = [];
  let at = 0;
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    bodies.push({ headers: request.headers, json: JSON.parse(Buffer.concat(pieces).toString('utf8')) });
    const status = answers[Math.min(at++, answers.length - 1)] ?? 200;
    response.writeHead(status, status === 302 ? { location: 'http://127.0.0.1:1/' } : {});
    response.end();
  });
  const { host, stop } = await listen(server);
  const pool = new HttpPool();
  const timing = new FakeTiming();
  const problems: string[] = [];
  onTestFinished(async () => {
    await pool.close();
    await stop();
  });
  const url = new URL(`http://${host}${path}`);
  const webhook = new Webhook(
    { url, headers: { authorization: 'Bearer x' } },
    pool,
    (problem) => problems.push(problem),
    alarmsJson,
    timing,
  );
  return { webhook, bodies, timing, problems };
}

describe('the webhook of alarms', () => {
  it('is told what, where and since when', async () => {
    const { webhook, bodies } = await hook([200]);
    webhook.send([event('r.example.com/a')]);
    await webhook.close(5_000);
    expect(bodies).toHaveLength(1);
    expect(bodies[0]?.headers).toMatchObject({
      authorization: 'Bearer x',
      'content-type': 'application/json',
    });
    expect(bodies[0]?.json).toEqual({
      version: 1,
      alarms: [
        {
          state: 'firing',
          kind: 'rollback',
          place: 'r.example.com/a',
          code: 'trust-rollback',
          message: 'went back',
          hint: 'look',
          since: '2030-01-01T00:00:00.000Z',
        },
      ],
    });
  });

  it('is tried again where it fails, some times and not for ever', async () => {
    const { webhook, bodies, timing } = await hook([500, 503, 200]);
    webhook.send([event('a')]);
    await webhook.close(5_000);
    expect(bodies).toHaveLength(3);
    expect(timing.slept).toHaveLength(2);
    const dead = await hook([500]);
    dead.webhook.send([event('a')]);
    await dead.webhook.close(5_000);
    expect(dead.bodies.length).toBeLessThanOrEqual(6);
    expect(dead.problems.length).toBe(dead.bodies.length);
    expect(dead.problems.join()).not.toContain('secret-path');
  });

  it('is not followed elsewhere', async () => {
    const { webhook, problems } = await hook([302, 200]);
    webhook.send([event('a')]);
    await webhook.close(5_000);
    expect(problems[0]).toContain('answered 302');
  });

  it('keeps a thousand that wait, the newest', async () => {
    const { webhook, bodies, problems } = await hook([200]);
    webhook.send(Array.from({ length: 1_500 }, (_, n) => event(`r/${n}`)));
    await webhook.close(10_000);
    const told = bodies.flatMap(({ json }) => json.alarms.map(({ place }) => place));
    expect(told.length).toBeLessThanOrEqual(1_000);
    expect(told.at(-1)).toBe('r/1499');
    expect(problems.join()).toContain('dropped');
  });
});
