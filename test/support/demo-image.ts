import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { pack } from 'tar-stream';

/**
 * Makes the demo image (testdata/demo-image) from nothing but this file: an index of two platforms,
 * each with a program of some two hundred bytes that greets and ends. Run with an argument, it writes
 * the layout there: `npx tsx test/support/demo-image.ts testdata/demo-image/layout`.
 */
const CREATED = new Date('2026-01-01T00:00:00Z');
const BASE_ADDRESS = 0x400000;
/** ELF header and one program header. */
const HEADERS = 64 + 56;

interface Platform {
  readonly architecture: 'amd64' | 'arm64';
  readonly variant?: string;
  /** e_machine */
  readonly machine: number;
  /** Code that writes the `length` bytes that follow it and exits with 0. */
  readonly code: (length: number) => Buffer;
}

const PLATFORMS: readonly Platform[] = [
  {
    architecture: 'amd64',
    machine: 62,
    code: (length) =>
      Buffer.concat([
        Buffer.from('bf01000000', 'hex'), //         mov edi, 1        standard output
        Buffer.from('488d3515000000', 'hex'), //     lea rsi, [rip+21] the text after the code
        Buffer.from('ba', 'hex'), //                 mov edx, length
        uint32(length),
        Buffer.from('b8010000000f05', 'hex'), //     mov eax, 1; syscall (write)
        Buffer.from('31ff', 'hex'), //               xor edi, edi
        Buffer.from('b83c0000000f05', 'hex'), //     mov eax, 60; syscall (exit)
      ]),
  },
  {
    architecture: 'arm64',
    variant: 'v8',
    machine: 183,
    code: (length) =>
      Buffer.concat(
        [
          0xd2800020, //                  mov x0, #1       standard output
          0x100000e1, //                  adr x1, #28      the text after the code
          0xd2800002 | (length << 5), //  mov x2, #length
          0xd2800808, //                  mov x8, #64      write
          0xd4000001, //                  svc #0
          0xd2800000, //                  mov x0, #0
          0xd2800ba8, //                  mov x8, #93      exit
          0xd4000001, //                  svc #0
        ].map(uint32),
      ),
  },
];

/** Paths inside an OCI image layout and their content. */
export async function demoImage(): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const store = (mediaType: string, content: Buffer): { mediaType: string; digest: string; size: number } => {
    const hex = sha256(content);
    files.set(`blobs/sha256/${hex}`, content);
    return { mediaType, digest: `sha256:${hex}`, size: content.length };
  };
  const licence = await tar([
    ['usr/share/doc/hello/copyright', 0o644, 'Apache-2.0, as bulla, whose demo image this is.\n'],
  ]);
  const manifests = [];
  for (const platform of PLATFORMS) {
    const layers = [licence, await tar([['hello', 0o755, program(platform)]])];
    const where = {
      architecture: platform.architecture,
      os: 'linux',
      ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    };
    const config = store(
      'application/vnd.oci.image.config.v1+json',
      json({
        created: CREATED.toISOString(),
        ...where,
        config: { Entrypoint: ['/hello'], WorkingDir: '/' },
        rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
        history: ['the licence', 'the program'].map((comment) => ({
          created: CREATED.toISOString(),
          created_by: 'test/support/demo-image.ts',
          comment,
        })),
      }),
    );
    const manifest = store(
      'application/vnd.oci.image.manifest.v1+json',
      json({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config,
        layers: layers.map((layer) => store('application/vnd.oci.image.layer.v1.tar+gzip', gzip(layer))),
      }),
    );
    manifests.push({ ...manifest, platform: where });
  }
  const index = store(
    'application/vnd.oci.image.index.v1+json',
    json({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests,
      annotations: {
        'org.opencontainers.image.title': 'hello',
        'org.opencontainers.image.licenses': 'Apache-2.0',
        'org.opencontainers.image.created': CREATED.toISOString(),
      },
    }),
  );
  files.set('oci-layout', json({ imageLayoutVersion: '1.0.0' }));
  files.set(
    'index.json',
    json({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [{ ...index, annotations: { 'org.opencontainers.image.ref.name': 'v1' } }],
    }),
  );
  return files;
}

/** Writes the layout to a directory, which it replaces. */
export async function writeDemoImage(directory: string): Promise<void> {
  rmSync(directory, { recursive: true, force: true });
  for (const [path, content] of await demoImage()) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  }
}

/** A static ELF executable: headers, code and text, mapped as one readable and executable segment. */
function program(platform: Platform): Buffer {
  const text = Buffer.from(`Hello from linux/${platform.architecture}: what you signed is what runs.\n`);
  const code = platform.code(text.length);
  const size = HEADERS + code.length + text.length;
  const header = Buffer.alloc(HEADERS);
  header.write('\x7fELF', 'latin1');
  header.set([2, 1, 1], 4); //                             64 bit, little endian, version 1
  header.writeUInt16LE(2, 16); //                          executable
  header.writeUInt16LE(platform.machine, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(BASE_ADDRESS + HEADERS), 24); // entry
  header.writeBigUInt64LE(64n, 32); //                     where the program header is
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(1, 56);
  header.writeUInt32LE(1, 64); //                          PT_LOAD
  header.writeUInt32LE(5, 68); //                          readable, executable
  header.writeBigUInt64LE(BigInt(BASE_ADDRESS), 80);
  header.writeBigUInt64LE(BigInt(BASE_ADDRESS), 88);
  header.writeBigUInt64LE(BigInt(size), 96);
  header.writeBigUInt64LE(BigInt(size), 104);
  header.writeBigUInt64LE(0x10000n, 112); //               alignment: the largest page that arm64 has
  return Buffer.concat([header, code, text]);
}

async function tar(entries: readonly (readonly [string, number, string | Buffer])[]): Promise<Buffer> {
  const archive = pack();
  const directories = new Set<string>();
  for (const [name, mode, content] of entries) {
    const parts = name.split('/').slice(0, -1);
    for (let depth = 1; depth <= parts.length; depth += 1) {
      const directory = `${parts.slice(0, depth).join('/')}/`;
      if (directories.has(directory)) continue;
      directories.add(directory);
      archive.entry({ name: directory, type: 'directory', mode: 0o755, mtime: CREATED });
    }
    archive.entry({ name, mode, mtime: CREATED }, content);
  }
  archive.finalize();
  return buffer(archive);
}

/** One stored block: every compressor writes others, and of each version. */
function gzip(content: Buffer): Buffer {
  const header = Buffer.from('1f8b08000000000000ff01', 'hex');
  const lengths = Buffer.alloc(4);
  lengths.writeUInt16LE(content.length, 0);
  lengths.writeUInt16LE(~content.length & 0xffff, 2);
  return Buffer.concat([header, lengths, content, uint32(crc32(content)), uint32(content.length)]);
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

const [, self, directory] = process.argv;
if (self === fileURLToPath(import.meta.url) && directory !== undefined) await writeDemoImage(directory);
