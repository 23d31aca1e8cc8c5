import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Updater } from 'tuf-js';

/**
 * Reads a TUF repository in a directory (`metadata`, `targets`) with tuf-js, which trusts its first root.
 * @returns hex SHA-256 of each name: of the file as downloaded, or, with `download` false, as signed
 */
export async function readWithTufJs(
  directory: string,
  names: readonly string[],
  download = true,
): Promise<Record<string, string | undefined>> {
  return withServer(directory, async (base) => {
    const state = await mkdtemp(join(tmpdir(), 'bulla-tuf-js-'));
    try {
      await writeFile(join(state, 'root.json'), await readFile(join(directory, 'metadata/1.root.json')));
      const updater = new Updater({
        metadataDir: state,
        metadataBaseUrl: `${base}/metadata`,
        targetDir: state,
        targetBaseUrl: `${base}/targets`,
      });
      await updater.refresh();
      const found: Record<string, string | undefined> = {};
      for (const name of names) {
        const info = await updater.getTargetInfo(name);
        if (info === undefined) throw new Error(`tuf-js does not find ${name}`);
        found[name] = download
          ? createHash('sha256')
              .update(await readFile(await updater.downloadTarget(info)))
              .digest('hex')
          : info.hashes['sha256'];
      }
      return found;
    } finally {
      await rm(state, { recursive: true, force: true });
    }
  });
}

/** Serves a directory while `use` runs. */
export async function withServer<T>(directory: string, use: (base: string) => Promise<T>): Promise<T> {
  const server = createServer((request, response) => {
    // Names of metadata are percent-encoded on disk too; those of targets only in the URL.
    const path = request.url ?? '/';
    readFile(join(directory, path.startsWith('/targets/') ? decodeURIComponent(path) : path)).then(
      (bytes) => response.end(bytes),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as { port: number };
    return await use(`http://127.0.0.1:${port}`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}
