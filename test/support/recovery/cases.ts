import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Execute, Lab, type Recovery } from './lab.ts';

/** One loss: how it comes about, what is asked, and what holds afterwards. */
export interface LossCase {
  /** Heading in docs/recovery.md. */
  readonly heading: string;
  /** Makes a collection and loses something of it. @returns the flags of `bulla recover`, and what holds afterwards */
  lose(execute: Execute): Promise<{
    readonly lab: Lab;
    readonly flags: string;
    /** Before the recovery: what readers see. */
    readonly meanwhile?: number;
    check?(recovery: Recovery): Promise<void>;
  }>;
}

const DAY_MS = 86_400_000;

/** Every section of docs/recovery.md, by what is lost. */
export const LOSSES: Readonly<Record<string, LossCase>> = {
  'publisher-key': {
    heading: "A publisher's key was stolen",
    async lose(execute) {
      const lab = await Lab.open(execute);
      const { owner, images } = lab;
      await owner.do('copy REPO:_trust oci:backup');
      const thief = await lab.machine();
      await lab.copyKeys(thief, 'publisher');
      await thief.do(`pin REPO --root-key-id ${await lab.keyId('root')}`);
      const good = new Map(images);
      await lab.push('evil', 'evil');
      const evil = images.get('evil');
      await lab.push('v1', 'evil');
      // One change of the thief is in the head, another one still waits.
      const stolen = await thief.run(`sign REPO:v1 REPO:evil --name-only --no-proof --wait 0s`);
      expect(stolen, stolen.stderr).toMatchObject({ code: 31 });
      await owner.do('resign REPO --renew');
      expect((await lab.reader.do('verify REPO:v1')).stdout).toContain(evil);
      await lab.push('v2', 'evil');
      await thief.run('sign REPO:v2 --name-only --no-proof --wait 0s');
      return {
        ...{ lab, flags: '--lost publisher-key --backup oci:backup', meanwhile: 0 },
        async check() {
          expect((await lab.reader.do('verify REPO:v1')).stdout).toContain(good.get('v1'));
          expect((await lab.reader.do('verify REPO:v2')).stdout).toContain(good.get('v2'));
          expect(await lab.reader.run('verify REPO:evil')).toMatchObject({ code: 23 });
          await lab.push('v1', 'evil');
          await thief.run('sign REPO:v1 --name-only --no-proof --wait 0s');
          await owner.do('resign REPO --renew');
          expect((await lab.reader.do('verify REPO:v1')).stdout).toContain(good.get('v1'));
        },
      };
    },
  },
  'online-key': {
    heading: 'The online key was stolen or lost',
    async lose(execute) {
      const lab = await Lab.open(execute);
      const thief = await lab.machine();
      await lab.copyKeys(thief, 'online');
      await thief.do(`pin REPO --root-key-id ${await lab.keyId('root')}`);
      await thief.do('resign REPO --renew');
      return {
        ...{ lab, flags: '--lost online-key', meanwhile: 0 },
        async check() {
          expect(await thief.run('resign REPO --renew')).toMatchObject({ code: 12 });
          await lab.owner.do('resign REPO --renew');
        },
      };
    },
  },
  'root-key': {
    heading: 'One of several root keys was stolen or lost',
    async lose(execute) {
      const lab = await Lab.open(execute, {
        init: '--root-key root --root-key spare',
        keys: ['publisher', 'root', 'spare', 'online'],
      });
      const thief = await lab.machine();
      const spare = await lab.keyId('spare');
      await lab.moveKeys(thief, 'spare');
      await thief.do(`pin REPO --root-key-id ${await lab.keyId('root')}`);
      return {
        ...{ lab, flags: `--lost root-key --key ${spare.slice(0, 12)}`, meanwhile: 0 },
        async check() {
          expect(await thief.run('rotate REPO root --renew')).toMatchObject({ code: 12 });
          expect((await lab.owner.do('tree REPO -o json')).stdout).not.toContain(spare);
        },
      };
    },
  },
  'only-root-key': {
    heading: 'The only root key is lost',
    async lose(execute) {
      const lab = await Lab.open(execute);
      for (const ending of ['key', 'pub']) await rm(join(lab.owner.home, 'keys', `root.${ending}`));
      const other = await lab.machine();
      await other.do('pin REPO --tofu');
      await other.do('verify REPO:v1');
      return {
        ...{ lab, flags: '--lost only-root-key', meanwhile: 0 },
        async check() {
          // A reader who did not pin anew says so, and accepts nothing.
          const refused = await other.run('verify REPO:v1 -o json');
          expect(refused).toMatchObject({ code: 22 });
          expect(refused.json()).toMatchObject({ code: 'trust-invalid' });
          for (const tag of ['v1', 'v2'])
            expect((await lab.reader.do(`verify REPO:${tag}`)).stdout).toContain(lab.images.get(tag));
        },
      };
    },
  },
  'only-root-key --stolen': {
    heading: 'The only root key was stolen',
    async lose(execute) {
      const lab = await Lab.open(execute);
      const thief = await lab.machine();
      await lab.copyKeys(thief, 'root');
      await thief.do(`pin REPO --root-key-id ${await lab.keyId('root')}`);
      return {
        ...{ lab, flags: '--lost only-root-key --stolen', meanwhile: 0 },
        async check() {
          expect(await thief.run('rotate REPO root --renew')).toMatchObject({ code: 12 });
        },
      };
    },
  },
  registry: {
    heading: 'The registry was restored from a backup',
    async lose(execute) {
      const lab = await Lab.open(execute);
      const restore = await lab.backUp();
      await lab.push('v3', 'three');
      await lab.owner.do('copy REPO:v3 oci:backup');
      await lab.owner.do('sign REPO:v3 --name-only --no-proof');
      await lab.reader.do('verify REPO:v3');
      await restore();
      await lab.reader.run('verify REPO:v3', new Date(Date.now() + 300_000));
      return {
        ...{ lab, flags: '--lost registry --backup oci:backup', meanwhile: 11 },
        async check() {
          const { stdout } = await lab.reader.do('verify REPO:v3', new Date(Date.now() + 300_000));
          expect(stdout).toContain(lab.images.get('v3'));
        },
      };
    },
  },
  'registry (nothing remembered)': {
    heading: 'The registry was restored from a backup',
    async lose(execute) {
      const lab = await Lab.open(execute);
      const restore = await lab.backUp();
      await lab.push('v3', 'three');
      await lab.owner.do('sign REPO:v3 --name-only --no-proof');
      await lab.reader.do('verify REPO:v3');
      await restore();
      for (const directory of ['state', 'cache'])
        await rm(join(lab.owner.home, directory), { recursive: true, force: true });
      const later = new Date(Date.now() + 300_000);
      expect(await lab.reader.run('verify REPO:v1', later)).toMatchObject({ code: 21 });
      return {
        ...{ lab, flags: '--lost registry', meanwhile: 0 },
        async check() {
          for (const tag of ['v1', 'v2'])
            expect((await lab.reader.do(`verify REPO:${tag}`, later)).stdout).toContain(lab.images.get(tag));
        },
      };
    },
  },
  clock: {
    heading: 'A clock was wrong',
    async lose(execute) {
      const lab = await Lab.open(execute);
      const ahead = new Date(Date.now() + 10 * DAY_MS);
      await lab.owner.do('sign REPO:v1 --name-only --no-proof', ahead);
      await lab.owner.do('rotate REPO root --renew', ahead);
      return {
        ...{ lab, flags: '--lost clock', meanwhile: 0 },
        async check() {
          const { roles } = (await lab.owner.do('status REPO -o json')).json() as {
            roles: { role: string; secondsLeft: number }[];
          };
          for (const { role, secondsLeft } of roles)
            expect(secondsLeft, role).toBeLessThan((/snapshot|timestamp/.test(role) ? 14 : 365) * 86_400 + 1);
          await lab.owner.do('sign REPO:v2 --name-only --no-proof');
          await lab.reader.do('verify REPO:v2');
        },
      };
    },
  },
  'clock (behind)': {
    heading: 'A clock was wrong',
    async lose(execute) {
      const lab = await Lab.open(execute, { made: new Date(Date.now() - 400 * DAY_MS) });
      return { lab, flags: '--lost clock', meanwhile: 20 };
    },
  },
  'trust-tag': {
    heading: 'The tag _trust was deleted',
    async lose(execute) {
      const lab = await Lab.open(execute);
      await lab.removeTag('_trust');
      return { lab, flags: '--lost trust-tag', meanwhile: 22 };
    },
  },
};
