import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What lies at one path of an image: bytes, a directory, or a link. Paths have no leading slash. */
export type RootEntry =
  | { readonly path: string; readonly bytes: Buffer; readonly mode: number }
  | { readonly path: string; readonly mode: number; readonly owner?: number }
  | { readonly path: string; readonly link: string };

/** A Debian package of which files are in the image. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** Of the distribution, as in os-release: `debian`, `ubuntu`. */
  readonly distribution: string;
}

/** User and group of the image: not root, and the number that distroless images have. */
export const NONROOT = 65532;

const CERTIFICATES = '/usr/share/ca-certificates/mozilla';

/**
 * The files that an executable needs to run where there is nothing else: its shared libraries, the certificates of
 * public CAs, and who the users are; with the licences and the records of the Debian packages that they come from. The
 * certificates are those of the package: what an administrator added to this machine stays on it.
 * @throws Error where a file belongs to no Debian package
 */
export function rootFiles(executable: string): {
  readonly entries: readonly RootEntry[];
  readonly packages: readonly DebianPackage[];
} {
  const entries: RootEntry[] = [...SYSTEM_FILES];
  const names = new Set(['ca-certificates']);
  for (const path of librariesOf(executable)) {
    names.add(packageOf(path));
    entries.push({ path: merged(path), bytes: readFileSync(path), mode: 0o755 });
  }
  const certificates = readdirSync(CERTIFICATES).sort();
  const bundle = Buffer.concat(certificates.map((name) => readFileSync(join(CERTIFICATES, name))));
  entries.push({ path: 'etc/ssl/certs/ca-certificates.crt', bytes: bundle, mode: 0o644 });
  entries.push({ path: 'etc/os-release', bytes: readFileSync('/etc/os-release'), mode: 0o644 });
  const distribution = /^ID="?([a-z]+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'debian';
  const packages: DebianPackage[] = [];
  for (const name of [...names].sort()) {
    const status = execFileSync('dpkg-query', ['-s', name], { encoding: 'utf8' });
    const field = (of: string): string => new RegExp(`^${of}: (.*)$`, 'm').exec(status)?.[1] ?? '';
    packages.push({
      ...{ name: field('Package'), version: field('Version'), architecture: field('Architecture') },
      distribution,
    });
    // Where scanners look in images that have no package manager.
    entries.push({
      path: `var/lib/dpkg/status.d/${field('Package')}`,
      bytes: Buffer.from(status),
      mode: 0o644,
    });
    const copyright = readFileSync(`/usr/share/doc/${field('Package')}/copyright`);
    entries.push({ path: `usr/share/doc/${field('Package')}/copyright`, bytes: copyright, mode: 0o644 });
  }
  return { entries, packages };
}

const SYSTEM_FILES: readonly RootEntry[] = [
  // As Debian has them since its release 12: the loader looks in /lib.
  { path: 'lib', link: 'usr/lib' },
  { path: 'lib64', link: 'usr/lib64' },
  { path: 'home/nonroot', mode: 0o700, owner: NONROOT },
  { path: 'tmp', mode: 0o1777 },
  {
    path: 'etc/passwd',
    bytes: Buffer.from(
      `root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:${NONROOT}:${NONROOT}:nonroot:/home/nonroot:/sbin/nologin\n`,
    ),
    mode: 0o644,
  },
  { path: 'etc/group', bytes: Buffer.from(`root:x:0:\nnonroot:x:${NONROOT}:\n`), mode: 0o644 },
  { path: 'etc/nsswitch.conf', bytes: Buffer.from('hosts: files dns\n'), mode: 0o644 },
];

/** The shared libraries of an executable with its loader, as the loader finds them. */
function librariesOf(executable: string): readonly string[] {
  const printed = execFileSync('ldd', [executable], { encoding: 'utf8', env: { PATH: process.env['PATH'] } });
  const paths = printed.split('\n').flatMap((line) => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1] ?? []);
  if (paths.length < 2) throw new Error(`ldd names no libraries of ${executable}`);
  return paths.sort();
}

/** Name of the package that a file belongs to, whether it was recorded below /lib or /usr/lib. */
function packageOf(path: string): string {
  const real = realpathSync(path);
  const known = [path, real, real.replace(/^\/usr(?=\/lib)/, ''), join('/usr', path)];
  for (const one of known.filter((candidate) => existsSync(candidate))) {
    try {
      const line = execFileSync('dpkg-query', ['-S', one], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      return line.slice(0, line.indexOf(': '));
    } catch {
      // Another spelling may be the recorded one.
    }
  }
  throw new Error(`${path} belongs to no Debian package: the image could not say what is in it`);
}

/** Where a file below /lib really is. */
function merged(path: string): string {
  return path.replace(/^\/(?=lib)/, '/usr/').slice(1);
}

/** The directories above the entries, which a layer names as well. */
export function withDirectories(entries: readonly RootEntry[]): readonly RootEntry[] {
  const all = new Map(entries.map((entry) => [entry.path, entry]));
  for (const { path } of entries)
    for (let above = dirname(path); above !== '.'; above = dirname(above))
      if (!all.has(above)) all.set(above, { path: above, mode: 0o755 });
  return [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}
