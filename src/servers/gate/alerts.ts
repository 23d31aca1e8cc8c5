import type { ImageDecision } from '../../actions/gate/admit.ts';
import type { Review } from '../../actions/gate/review.ts';
import { isJsonObject, type JsonValue, parseJsonObject } from '../../encoding/json.ts';

/** A denial that people are told about. */
export interface Denial {
  readonly at: Date;
  readonly review: Review;
  /** Images that are denied, or would be if their rules did not only audit. */
  readonly images: readonly ImageDecision[];
}

/** Takes denials; it must not wait for anything, and never fails. */
export type DenialSink = (denial: Denial) => void;

/** Lines of one alert. */
const MAX_LINES = 20;
const MAX_TEMPLATE_BYTES = 64 * 1024;
const DEFAULT_TEMPLATE: JsonValue = { text: '{{text}}' };

/** What an alert is made of: JSON, in whose texts `{{text}}`, `{{count}}` and `{{gate}}` are replaced. @throws BullaError content-invalid */
export function parseTemplate(bytes: Uint8Array, where: string): JsonValue {
  return parseJsonObject(bytes, { what: where, maxBytes: MAX_TEMPLATE_BYTES, floats: true });
}

/** What the webhook is posted about denials: by default `{"text": …}`, which Slack, Mattermost and others take. */
export function alertJson(
  denials: readonly Denial[],
  gate: string,
  template: JsonValue = DEFAULT_TEMPLATE,
): JsonValue {
  const lines = denials.flatMap(({ review, images }) => {
    const where = review.namespace === '' ? review.subject : `${review.namespace}/${review.subject}`;
    return images.map(({ action, image, verdict }) => {
      const { code = 'internal', message = '' } = verdict.error ?? {};
      return `${where}: ${action === 'warned' ? 'only audited' : 'denied'}: ${image} [${code}] ${message}`;
    });
  });
  const shown = lines.slice(0, MAX_LINES);
  const more = lines.length - shown.length;
  const text = [`bulla gate ${gate}`, ...shown, ...(more > 0 ? [`and ${more} more`] : [])]
    .map(plain)
    .join('\n');
  const values = new Map([
    ['text', text],
    ['count', String(lines.length)],
    ['gate', plain(gate)],
  ]);
  return filled(template, values);
}

function filled(template: JsonValue, values: ReadonlyMap<string, string>): JsonValue {
  if (typeof template === 'string')
    return template.replaceAll(/\{\{([a-z]+)\}\}/g, (whole, name: string) => values.get(name) ?? whole);
  if (Array.isArray(template)) return template.map((each) => filled(each, values));
  if (!isJsonObject(template)) return template;
  return Object.fromEntries(Object.entries(template).map(([name, each]) => [name, filled(each, values)]));
}

/** Names come from developers and attackers: they must neither call a channel nor become a link. */
function plain(text: string): string {
  return (
    text
      .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
      .slice(0, 500)
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      // A character without width tears apart what chats read as a call, an address or Markdown.
      .replaceAll('@', '@\u200b')
      .replaceAll('://', ':\u200b//')
      .replace(/\](?=[([:])/g, ']\u200b')
  );
}
