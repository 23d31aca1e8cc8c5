import * as z from 'zod/mini';
import en from 'zod/v4/locales/en.js';

// The small face of zod: the other one takes three times as long to load, and a command pays for that at
// every start (spec/decisions/0003-zod-mini.md). It comes without words for what is wrong.
z.config(en());

export { z };
