import { config } from 'zod/mini';
import en from 'zod/v4/locales/en.js';

// zod/mini comes without words for what is wrong with a document (spec/decisions/0003-zod-mini.md). To be
// imported, for its effect, where such words are shown.
config(en());
