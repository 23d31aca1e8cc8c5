import { readFileSync } from 'node:fs';

/** A part of docs/install.md with the lines that its readers type. */
export interface Section {
  readonly title: string;
  readonly lines: readonly string[];
}

/** The sections of docs/install.md that have commands. */
export function installSections(): readonly Section[] {
  const page = readFileSync(new URL('../../../docs/install.md', import.meta.url), 'utf8');
  return page
    .split(/^## /m)
    .slice(1)
    .map((text) => ({
      title: text.slice(0, text.indexOf('\n')),
      lines: [...text.matchAll(/^\$ (.+)$/gm)].map(([, line = '']) => line),
    }))
    .filter(({ lines }) => lines.length > 0);
}

/** What is in other places where a page is tried. */
export interface Places {
  /** Directory with the files of the release. */
  readonly out: string;
  readonly version: string;
  /** `HOST:PORT` of the registry that has the release. */
  readonly registry: string;
  /** The checkout. */
  readonly root: string;
  /** Directory that is used up by the section. */
  readonly directory: string;
  /** Where npm would have put native packages. */
  readonly modules: string;
}

/** A line of the page, about the places of a test: the same programs with the same flags, and a key for the identity. */
export function inPlace(line: string, places: Places): string {
  const { out, version, registry, root, directory, modules } = places;
  return (
    line
      .replaceAll('https://github.com/OWNER/bulla/releases/download/v0.1.0', `file://${out}`)
      .replace('git clone https://github.com/OWNER/bulla && cd bulla', `cd '${root}'`)
      // The suite was built by it, and other tests use that meanwhile.
      .replace('make build', 'make --dry-run build')
      .replace('npm install --global pkcs11js', ':')
      // npx knows the commands of a package file only by name.
      .replace('npx --yes bulla@0.1.0', 'npx --yes --package bulla@0.1.0 bulla')
      .replace('$(npm root --global)', modules)
      .replaceAll(
        /--certificate-identity \S+ --certificate-oidc-issuer [^\s)]+/g,
        `--key '${out}/release.pub'`,
      )
      .replaceAll('ghcr.io/OWNER', registry)
      .replaceAll('registry.internal', `${registry}/internal`)
      .replaceAll('bulla@0.1.0', `'${out}/bulla-${version}.tgz'`)
      .replaceAll(/\/(?:usr\/local\/bin|opt\/bulla)/g, (path) => `'${directory}${path}'`)
      .replaceAll('0.1.0', version)
  );
}
