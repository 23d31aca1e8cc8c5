import { bulla } from '../cli.ts';
import type { RunBulla } from './flow.ts';

/** Runs bulla in this process, within a test. */
export const runHere: RunBulla = async (args, options) => {
  const { code, stdout, stderr } = await bulla(args, options);
  return { status: code, stdout, stderr };
};
