import { main } from '../../../src/cli/start/program.ts';

/** `bulla export notary-dump` in a process of its own, to be killed. Arguments: those of bulla. */
await main();
