import { serveRegistry } from '../../../src/api/registry-server.ts';

/** Serves a directory until it is killed, or asked to end. */
const [dir = ''] = process.argv.slice(2);

async function main(): Promise<void> {
  const server = await serveRegistry({
    dir,
    log: (entry) => {
      if (entry['level'] !== 'info') console.log(JSON.stringify(entry));
    },
  });
  console.log(`serving on ${server.address};`);
  process.once('SIGTERM', () => {
    server.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  });
}

main().catch((error: unknown) => {
  console.log(error);
  process.exit(1);
});
