import { spawnSync } from 'node:child_process';
import { lstat, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { AlarmBook, type AlarmKind } from '../../src/actions/renew/alarms.ts';
import { parsePolicy } from '../../src/policy/file/parse.ts';
import { readResignerConfig } from '../../src/servers/resigner/config.ts';
import { parseResignerDocument } from '../../src/servers/resigner/config-schema.ts';
import { Statistics } from '../../src/servers/resigner/statistics.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string): Promise<string> => readFile(new URL(path, root), 'utf8');

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly rules?: readonly {
    readonly resources: string[];
    readonly verbs: string[];
    readonly resourceNames?: string[];
  }[];
  readonly spec?: unknown;
}
interface PodSpec {
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly containers: readonly {
    readonly args: readonly string[];
    readonly securityContext: Readonly<Record<string, unknown>>;
    readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  }[];
  readonly volumes: readonly { readonly name: string }[];
}

async function manifests(path: string): Promise<readonly Manifest[]> {
  return parseAllDocuments(await read(path)).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS() as Manifest;
  });
}

/** Flags that a command shows in its help. */
async function flagsOf(...command: readonly string[]): Promise<ReadonlySet<string>> {
  const { stdout } = await bulla([...command, '--help']);
  const all = await bulla(['--help']);
  return new Set([...`${stdout}${all.stdout}`.matchAll(/--[a-z][a-z-]+/g)].map(([flag]) => flag));
}

/** The words of a `bulla` command line: those of the command, and its flags. */
function split(words: readonly string[]): { readonly command: string[]; readonly flags: string[] } {
  const end = words.findIndex((word) => word.startsWith('-'));
  return { command: words.slice(0, end), flags: words.filter((word) => word.startsWith('--')) };
}

async function expectKnown(words: readonly string[]): Promise<void> {
  const { command, flags } = split(words);
  const known = await flagsOf(...command);
  for (const flag of flags) expect(known, `${flag} of ${command.join(' ')}`).toContain(flag);
}

function podSpecOf(manifest: Manifest): PodSpec | undefined {
  const spec = manifest.spec as {
    template?: { spec: PodSpec };
    jobTemplate?: { spec: { template: { spec: PodSpec } } };
  };
  return spec?.template?.spec ?? spec?.jobTemplate?.spec.template.spec;
}

describe('deploy/kubernetes', () => {
  it.each(['resigner.yaml', 'cronjob.yaml'])(
    '%s runs a command that there is, without privileges',
    async (name) => {
      const pods = (await manifests(`deploy/kubernetes/${name}`)).flatMap((one) => podSpecOf(one) ?? []);
      expect(pods).toHaveLength(1);
      for (const { containers, securityContext, volumes } of pods) {
        expect(securityContext).toMatchObject({
          runAsNonRoot: true,
          seccompProfile: { type: 'RuntimeDefault' },
        });
        for (const { args, securityContext: own, volumeMounts } of containers) {
          expect(own).toEqual({
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          });
          await expectKnown(args);
          expect(volumeMounts.map((mount) => mount.name).sort()).toEqual(
            volumes.map((volume) => volume.name).sort(),
          );
          const paths = volumeMounts.map(({ mountPath }) => mountPath);
          for (const path of args.filter((arg) => arg.startsWith('/')))
            expect(
              paths.some((mount) => path.startsWith(`${mount}/`)),
              path,
            ).toBe(true);
        }
      }
    },
  );

  it('has a configuration that is accepted, whose paths are mounted and whose rights are granted', async () => {
    const all = await manifests('deploy/kubernetes/resigner.yaml');
    const config = all.find(({ kind, data }) => kind === 'ConfigMap' && data !== undefined);
    const document = parseResignerDocument(config?.data?.['resigner.yaml'] ?? '', 'resigner.yaml');
    const mounts = all.flatMap((one) => podSpecOf(one)?.containers[0]?.volumeMounts ?? []);
    for (const path of [document.key, document.cache, document.notify?.secretFile])
      expect(
        mounts.some(({ mountPath }) => path?.startsWith(mountPath)),
        path,
      ).toBe(true);
    const rules = all.find(({ kind }) => kind === 'Role')?.rules ?? [];
    const granted = (resource: string): string[] =>
      rules
        .filter(({ resources }) => resources.includes(resource))
        .flatMap(({ verbs }) => verbs)
        .sort();
    expect(granted('leases')).toEqual(['create', 'get', 'update']);
    expect(granted('configmaps')).toEqual(['create', 'get', 'update']);
    expect(rules.flatMap(({ resourceNames }) => resourceNames ?? [])).toEqual([document.lease?.name]);
  });
});

describe('deploy/helm/bulla-gate and deploy/kustomize/gate', () => {
  it('start the gate with flags that there are', async () => {
    const chart = await read('deploy/helm/bulla-gate/templates/deployment.yaml');
    const known = await flagsOf('serve', 'gate');
    const flags = [...chart.matchAll(/^ +- (--[a-z-]+)$/gm)].map(([, flag = '']) => flag);
    expect(flags.length).toBeGreaterThan(10);
    for (const flag of flags) expect(known).toContain(flag);
    const pods = (await manifests('deploy/kustomize/gate/gate.yaml')).flatMap((one) => podSpecOf(one) ?? []);
    await expectKnown(pods[0]?.containers[0]?.args ?? []);
  });

  it('answer before the API server gives up', async () => {
    const values = parse(await read('deploy/helm/bulla-gate/values.yaml'));
    expect(Number.parseInt(values.deadline, 10)).toBeLessThan(values.webhooks.timeoutSeconds);
  });
});

describe('deploy/kubernetes/node-hook.yaml', () => {
  it('installs by a command that there is, under the paths of the node, with a policy that is valid', async () => {
    const all = await manifests('deploy/kubernetes/node-hook.yaml');
    const pod = all.map(podSpecOf).find((one) => one !== undefined) as PodSpec & {
      readonly initContainers: readonly {
        readonly name: string;
        readonly command: readonly string[];
        readonly args: readonly string[];
        readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
      }[];
    };
    const volumes = pod.volumes as readonly {
      readonly name: string;
      readonly hostPath?: { readonly path: string };
    }[];
    const [copy, install] = pod.initContainers;
    await expectKnown(install?.args ?? []);
    const hostPaths = new Map(volumes.map(({ name, hostPath }) => [name, hostPath?.path]));
    for (const { name, mountPath } of install?.volumeMounts ?? [])
      if (name !== 'tmp') expect(hostPaths.get(name)).toBe(mountPath);
    const written = (install?.args ?? []).filter((arg) => arg.startsWith('/'));
    for (const path of [...written, ...(install?.command ?? [])])
      expect(
        [...hostPaths.values()].some((host) => host !== undefined && path.startsWith(host)),
        path,
      ).toBe(true);
    expect(copy?.args[0]).toContain('/image/usr/bin/bulla');
    expect(await read('test/support/release/release.ts')).toContain("path: 'usr/bin/bulla'");
    const policy = all.find(({ kind }) => kind === 'ConfigMap')?.data?.['policy.yaml'] ?? '';
    expect(parsePolicy(policy, 'policy.yaml').rules).toHaveLength(2);
  });
});

describe('the container that copies to nodes', () => {
  it('replaces whole files, and takes the policy out of a ConfigMap as it is mounted', async () => {
    const all = await manifests('deploy/kubernetes/node-hook.yaml');
    const pod = all.map(podSpecOf).find((one) => one !== undefined) as unknown as {
      initContainers: { command: string[]; args: string[] }[];
    };
    const { command = [], args = [] } = pod.initContainers[0] ?? {};
    const dir = await temporaryDirectory();
    for (const path of ['host', 'image/usr/bin', 'policy/..2026'])
      await mkdir(join(dir, path), { recursive: true });
    await writeFile(join(dir, 'image/usr/bin/bulla'), 'new', { mode: 0o755 });
    for (const name of ['policy.yaml', 'a key.pub']) {
      await writeFile(join(dir, 'policy/..2026', name), `of ${name}`);
      await symlink(`..data/${name}`, join(dir, 'policy', name));
    }
    await symlink('..2026', join(dir, 'policy/..data'));
    await writeFile(join(dir, 'host/bulla'), 'old');
    const script = (args[0] ?? '')
      .replaceAll('/opt/bulla', join(dir, 'host'))
      .replaceAll('/image/', join(dir, 'image/'))
      .replaceAll(' /policy/', ` ${join(dir, 'policy/')}`);
    for (let times = 0; times < 2; times++) {
      const { status, stderr } = spawnSync(command[0] ?? '', [...command.slice(1), script], {
        encoding: 'utf8',
      });
      expect(status, stderr).toBe(0);
    }
    expect(await readFile(join(dir, 'host/bulla'), 'utf8')).toBe('new');
    expect((await readdir(join(dir, 'host/policy'))).sort()).toEqual(['a key.pub', 'policy.yaml']);
    expect((await lstat(join(dir, 'host/policy/policy.yaml'))).isFile()).toBe(true);
    expect(await readFile(join(dir, 'host/policy/a key.pub'), 'utf8')).toBe('of a key.pub');
  });
});

describe('deploy/systemd', () => {
  it.each(['bulla-resigner.service', 'bulla-resign.service'])(
    '%s runs a command that there is',
    async (name) => {
      const text = await read(`deploy/systemd/${name}`);
      const line = /^ExecStart=\/usr\/local\/bin\/bulla (.*)$/m.exec(text)?.[1] ?? '';
      await expectKnown(line.split(' '));
      for (const variable of text.matchAll(/BULLA_[A-Z_]+(?==)/g))
        expect(['BULLA_HOME', 'BULLA_KEY', 'BULLA_REGISTRY_CONFIG']).toContain(variable[0]);
    },
  );

  it('has a timer for the service of its name', async () => {
    const names = await readdir(new URL('deploy/systemd/', root));
    expect(names).toContain('bulla-resign.timer');
    expect(names).toContain('bulla-resign.service');
  });
});

describe('deploy/ci', () => {
  it('runs commands that there are', async () => {
    const { jobs } = parse(await read('deploy/ci/scheduled.yml')) as {
      jobs: { resign: { steps: { run: string }[] } };
    };
    const lines = jobs.resign.steps.map(({ run }) => run).filter((run) => run.startsWith('bulla '));
    expect(lines).toHaveLength(2);
    for (const line of lines)
      await expectKnown(
        line
          .split(' ')
          .slice(1)
          .map((word) => (word.includes('/') ? '-' : word)),
      );
  });
});

describe('deploy/Containerfile', () => {
  it('is not root, and runs a command that there is', async () => {
    const text = await read('deploy/Containerfile');
    expect(text).toMatch(/^USER 65532:65532$/m);
    await expectKnown(JSON.parse(/^CMD (.*)$/m.exec(text)?.[1] ?? '[]') as string[]);
  });
});

describe('spec/resigner.md', () => {
  it('has an example that is accepted, as deploy/resigner.yaml is', async () => {
    const example = /```yaml\n([\s\S]*?)```/.exec(await read('spec/resigner.md'))?.[1] ?? '';
    const dir = await temporaryDirectory();
    const files = {
      'team-app.root.json': '{}',
      'authority.pem': 'PEM',
      'notify-secret': 'x'.repeat(32),
      'webhook-headers': 'Authorization: Bearer x',
    };
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
    for (const [name, text] of [
      ['a.yaml', example],
      ['b.yaml', await read('deploy/resigner.yaml')],
    ] as const) {
      await writeFile(join(dir, name), text);
      expect((await readResignerConfig(join(dir, name))).pins.length).toBeGreaterThan(0);
    }
  });

  it('lists the metrics that there are, and the kinds of alarms', async () => {
    const page = await read('spec/resigner.md');
    const statistics = new Statistics({
      steps: { entries: () => new Map().entries() } as never,
      alarms: new AlarmBook(),
      now: () => new Date(),
      collections: () => 0,
      failing: () => 0,
      busy: () => 0,
      pausedRegistries: () => 0,
      isLeader: () => true,
    });
    for (const [, name = ''] of statistics.metrics.text().matchAll(/^# TYPE bulla_resigner_(\w+)/gm))
      if (!/_bytes_total$/.test(name)) expect(page).toContain(`\`${name}\``);
    const kinds: Record<AlarmKind, true> = {
      rollback: true,
      healed: true,
      'missing-head': true,
      invalid: true,
      expired: true,
      expiring: true,
      conflict: true,
      key: true,
      state: true,
      failing: true,
      config: true,
    };
    const listed = [...page.matchAll(/^\| `([a-z-]+)` \| [^|]+ \| [^|]+ \|$/gm)].map(([, kind]) => kind);
    for (const kind of Object.keys(kinds)) expect(listed).toContain(kind);
  });
});

describe('deploy/README.md', () => {
  it('has no link to what is not there', async () => {
    for (const [, target = ''] of (await read('deploy/README.md')).matchAll(/\]\((?!https?:)([^)#]+)/g)) {
      const url = new URL(target, new URL('deploy/', root));
      await expect(
        readFile(url).catch(() => readdir(url)),
        target,
      ).resolves.toBeDefined();
    }
  });
});
