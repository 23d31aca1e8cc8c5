import { BullaError } from '../errors.ts';

/** The URL of a TUF repository in `tuf+https://…`; undefined for a path. @throws BullaError usage */
export function tufUrlOf(place: string): URL | undefined {
  if (!place.startsWith('tuf+')) return undefined;
  const text = place.slice('tuf+'.length);
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) {
    throw new BullaError('usage', `${JSON.stringify(place)} is not the URL of a TUF repository`, {
      hint: 'write tuf+https://HOST/PATH, with the folder of its metadata',
    });
  }
  const url = new URL(text);
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}
