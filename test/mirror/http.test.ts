import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { HttpPool } from '../../src/http/pool.ts';
import { DEFAULT_RETRY } from '../../src/http/retry.ts';
import { DirectoryMirror } from '../../src/mirror/directory.ts';
import { HttpMirror } from '../../src/mirror/http.ts';
import { saveTarget } from '../../src/mirror/save-target.ts';
import { refresh } from '../../src/tuf/client.ts';
import { MemoryStateStore } from '../../src/tuf/memory.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { NOW, RepositorySimulator } from '../support/tuf/repository.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A server on this machine that is gone when the test ends. */
async function serve(handler: Handler): Promise<{ readonly url: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => void server.close(() => resolve())));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

function mirrorOf(url: string, tries = 1): HttpMirror {
  const pool = new HttpPool();
  onTestFinished(() => pool.close());
  return new HttpMirror({
    pool,
    metadataUrl: new URL(`${url}/base%20dir/metadata`),
    targetsUrl: new URL(`${url}/base%20dir/targets/`),
    retry: { ...DEFAULT_RETRY, tries, baseMs: 1 },
  });
}

const always =
  (status: number, body = ''): Handler =>
  (_request, response) =>
    void response.writeHead(status).end(body);

/** Serves a repository as a web server does. */
function repositoryHandler(repository: RepositorySimulator): Handler {
  return (request, response) => {
    const url = request.url ?? '';
    const metadata = /\/metadata\/([^/]+)$/.exec(url)?.[1];
    const target = /\/targets\/(.+)$/.exec(url)?.[1];
    const bytes =
      metadata !== undefined
        ? repository.files.get(metadata)
        : repository.content.get(decodeURIComponent(target ?? ''));
    if (bytes === undefined) response.writeHead(404).end('no such file');
    else response.end(bytes);
  };
}

async function text(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all).toString();
}

describe('a repository on a web server', () => {
  it('is refreshed and read, its URLs as they were given, its requests in order', async () => {
    const repository = new RepositorySimulator();
    repository.delegate('targets', '../?#', { paths: ['a/*'] });
    repository.addTarget('../?#', 'a/v 1+%41', utf8('hello'));
    repository.publishAll('../?#');
    const { url, asked } = await serve(repositoryHandler(repository));
    const mirror = mirrorOf(url);
    const client = await refresh(mirror, new MemoryStateStore(), NOW, {
      initialRoot: repository.rootBytes(),
    });
    const found = await client.findTarget('a/v 1+%41');
    expect(await text(await client.fetchTarget(found, mirror))).toBe('hello');
    const hash = found.target.hashes.get('sha256');
    expect(asked).toEqual([
      '/base%20dir/metadata/2.root.json',
      '/base%20dir/metadata/timestamp.json',
      '/base%20dir/metadata/2.snapshot.json',
      '/base%20dir/metadata/2.targets.json',
      '/base%20dir/metadata/1...%2F%3F%23.json',
      `/base%20dir/targets/a/${hash}.v%201+%2541`,
    ]);
  });

  it('has no file only where it says 404', async () => {
    const { url } = await serve(always(404, 'not here'));
    expect(await mirrorOf(url).fetchMetadata('2.root.json', 100)).toBeUndefined();
    expect(await mirrorOf(url).fetchTarget('a')).toBeUndefined();
  });

  it.each([
    [400, 'registry-error'],
    [401, 'unauthorized'],
    [410, 'registry-error'],
    [429, 'registry-throttled'],
    [500, 'registry-error'],
    [503, 'registry-error'],
    [204, 'registry-error'],
  ])('status %i says nothing about the file: %s', async (status, code) => {
    const { url } = await serve(always(status));
    const result = mirrorOf(url).fetchMetadata('2.root.json', 100);
    await expect(result).rejects.toThrow(expect.objectContaining({ code }));
  });

  it.each(['1.root.json', '2.root.json', '10.root.json'])('status 403 means no %s', async (name) => {
    const { url } = await serve(always(403, '<Error><Code>AccessDenied</Code></Error>'));
    expect(await mirrorOf(url).fetchMetadata(name, 100)).toBeUndefined();
  });

  it.each([
    'root.json',
    'timestamp.json',
    '2.snapshot.json',
    '2.targets.json',
    '2.a.root.json',
    'x.root.json',
  ])('status 403 says nothing about %s', async (name) => {
    const { url } = await serve(always(403));
    const result = mirrorOf(url).fetchMetadata(name, 100);
    await expect(result).rejects.toThrow(expect.objectContaining({ code: 'forbidden' }));
  });

  it('status 403 says nothing about a target file', async () => {
    const { url } = await serve(always(403));
    await expect(mirrorOf(url).fetchTarget('a')).rejects.toThrow(
      expect.objectContaining({ code: 'forbidden' }),
    );
  });

  it('follows the chain of roots over an object store that answers 403 for what it lacks', async () => {
    const repository = new RepositorySimulator();
    const store = repositoryHandler(repository);
    const { url } = await serve((request, response) => {
      const name = /\/metadata\/([^/]+)$/.exec(request.url ?? '')?.[1] ?? '';
      if (repository.files.has(name)) store(request, response);
      else response.writeHead(403).end();
    });
    const client = await refresh(mirrorOf(url), new MemoryStateStore(), NOW, {
      initialRoot: repository.rootBytes(),
    });
    expect(client.trusted.root.content.version).toBe(1);
  });

  it('a line that is cut says nothing about the file', async () => {
    const { url } = await serve((request) => request.socket.destroy());
    await expect(mirrorOf(url).fetchMetadata('2.root.json', 100)).rejects.toThrow(
      expect.objectContaining({ code: 'registry-unreachable' }),
    );
    await expect(mirrorOf('http://127.0.0.1:1').fetchMetadata('2.root.json', 100)).rejects.toThrow(
      expect.objectContaining({ code: 'registry-unreachable' }),
    );
  });

  it('a body that is cut is no shorter file', async () => {
    const { url } = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half');
      setImmediate(() => response.destroy());
    });
    await expect(mirrorOf(url).fetchMetadata('timestamp.json', 1000)).rejects.toThrow(
      expect.objectContaining({ code: 'registry-unreachable' }),
    );
  });

  it('is asked again after a failure that passes', async () => {
    let failures = 2;
    const { url, asked } = await serve((request, response) =>
      always(failures-- > 0 ? 503 : 200, 'x')(request, response),
    );
    expect(await mirrorOf(url, 3).fetchMetadata('timestamp.json', 10)).toEqual(Buffer.from('x'));
    expect(asked).toHaveLength(3);
  });

  it('sends no more than is allowed: endless data ends', async () => {
    const { url } = await serve((_request, response) => {
      const timer = setInterval(() => response.write('x'.repeat(10_000)), 1);
      response.on('close', () => clearInterval(timer));
    });
    await expect(mirrorOf(url).fetchMetadata('timestamp.json', 50_000)).rejects.toThrow(
      expect.objectContaining({ code: 'content-invalid' }),
    );
  });

  it('may redirect, but not for ever, nor to something that is not the web', async () => {
    const { url } = await serve((request, response) => {
      const to = (location: string) => void response.writeHead(302, { location }).end();
      const name = request.url?.split('/').at(-1);
      if (name === 'good.json') to('/elsewhere/file');
      else if (name === 'loop.json') to(request.url ?? '');
      else if (name === 'ftp.json') to('ftp://127.0.0.1/file');
      else if (name === 'none.json') response.writeHead(302).end();
      else response.end('there');
    });
    const mirror = mirrorOf(url);
    expect(await mirror.fetchMetadata('good.json', 100)).toEqual(Buffer.from('there'));
    for (const name of ['loop.json', 'ftp.json', 'none.json']) {
      await expect(mirror.fetchMetadata(name, 100)).rejects.toThrow(
        expect.objectContaining({ code: 'registry-error' }),
      );
    }
  });

  it.each(['../a', '/a', 'a/../b', '', 'a//b'])('is not asked for the target %j', async (path) => {
    const { url, asked } = await serve(always(200));
    await expect(mirrorOf(url).fetchTarget(path)).rejects.toThrow(
      expect.objectContaining({ code: 'content-invalid' }),
    );
    expect(asked).toEqual([]);
  });
});

describe('a repository in directories', () => {
  async function written(repository: RepositorySimulator): Promise<DirectoryMirror> {
    const path = await temporaryDirectory();
    for (const [folder, files] of [
      ['metadata', repository.files],
      ['targets', repository.content],
    ] as const) {
      for (const [name, bytes] of files) {
        await mkdir(dirname(join(path, folder, name)), { recursive: true });
        await writeFile(join(path, folder, name), bytes);
      }
    }
    return new DirectoryMirror(join(path, 'metadata'), join(path, 'targets'));
  }

  it('is refreshed and read; what is there already is not fetched', async () => {
    const repository = new RepositorySimulator();
    repository.addTarget('targets', 'a/v1', utf8('hello'));
    repository.publishAll();
    const mirror = await written(repository);
    const client = await refresh(mirror, new MemoryStateStore(), NOW, {
      initialRoot: repository.rootBytes(),
    });
    const found = await client.findTarget('a/v1');
    const path = join(await temporaryDirectory(), 'new/v1');
    expect(await saveTarget(client, mirror, found, path)).toBe(true);
    expect(await readFile(path, 'utf8')).toBe('hello');
    const none = new DirectoryMirror('/nowhere', '/nowhere');
    expect(await saveTarget(client, none, found, path)).toBe(false);
    await writeFile(path, 'HELLO');
    expect(await saveTarget(client, mirror, found, path)).toBe(true);
    expect(await readFile(path, 'utf8')).toBe('hello');
  });

  it('leaves what was there where the content is not what was signed', async () => {
    const repository = new RepositorySimulator();
    repository.addTarget('targets', 'v1', utf8('hello'));
    repository.publishAll();
    for (const name of repository.content.keys()) repository.content.set(name, utf8('HELLO'));
    const mirror = await written(repository);
    const client = await refresh(mirror, new MemoryStateStore(), NOW, {
      initialRoot: repository.rootBytes(),
    });
    const path = join(await temporaryDirectory(), 'v1');
    await writeFile(path, 'before');
    const found = await client.findTarget('v1');
    await expect(saveTarget(client, mirror, found, path)).rejects.toThrow(
      expect.objectContaining({ code: 'digest-mismatch' }),
    );
    expect(await readFile(path, 'utf8')).toBe('before');
  });

  it('has no file that is not there, and reads none that is too large or outside', async () => {
    const mirror = await written(new RepositorySimulator());
    expect(await mirror.fetchMetadata('9.root.json', 1000)).toBeUndefined();
    expect(await mirror.fetchTarget('none')).toBeUndefined();
    await expect(mirror.fetchMetadata('1.root.json', 10)).rejects.toThrow(
      expect.objectContaining({ code: 'content-invalid' }),
    );
    await expect(mirror.fetchTarget('../metadata/1.root.json')).rejects.toThrow(
      expect.objectContaining({ code: 'content-invalid' }),
    );
  });
});
