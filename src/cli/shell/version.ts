declare const BULLA_VERSION: string | undefined;

/** Version of this build; the bundler puts in what package.json says. */
export const VERSION: string = typeof BULLA_VERSION === 'string' ? BULLA_VERSION : '0.0.0-source';
