import type { KeyUse, Loss, UsedKey } from '../../actions/report/keys-report.ts';
import { formatTime } from '../../encoding/time.ts';
import type { Line, Style } from './style.ts';

const LOST: Readonly<Record<Loss, readonly [Style, string]>> = {
  nothing: ['good', 'if lost: enough other keys remain'],
  'new-keys': ['soon', 'if lost: root has to give the role new keys (bulla rotate)'],
  'new-collection': ['bad', 'if lost: only a new collection helps (bulla recover)'],
};

/** Keys for the terminal: which key it is and where, then what it signs, one line for each collection. */
export function keysReportLines(keys: readonly UsedKey[]): Line[] {
  return keys.flatMap((key): Line[] => {
    const { name, keyid, scheme, uses, ifLost } = key;
    const line: Line = [
      ['strong', name ?? (keyid ?? '').slice(0, 12)],
      ['faint', `  ${[keyid, scheme, whereOf(key)].filter((part) => part !== undefined).join('  ')}`],
    ];
    if (uses.length === 0) return [line, '  no collection that was read lists it'];
    const places = [...new Set(uses.map(({ place }) => place))];
    return [
      line,
      ...places.map((place): Line => {
        const roles = uses.filter((use) => use.place === place);
        return `  ${place}  ${roles.map(useText).join(', ')}`;
      }),
      ['  ', LOST[ifLost]],
    ];
  });
}

function whereOf({ name, kept }: UsedKey): string {
  if (kept !== undefined) return `at ${kept}`;
  return name === undefined ? 'not in the key store' : 'in the key store';
}

function useText({ role, threshold, keys, expires, state, paths }: KeyUse): string {
  const which = paths === undefined ? role : `${role} (${paths.join(' ')})`;
  return `${which} ${threshold} of ${keys} ${state === 'expired' ? 'expired' : 'until'} ${formatTime(expires)}`;
}

/** Keys for `-o json` (spec/report.md, "Keys"). */
export function keysReportJson(keys: readonly UsedKey[]): readonly Record<string, unknown>[] {
  return keys.map(({ keyid, scheme, name, kept, uses, ifLost, expires }) => ({
    keyid: keyid ?? null,
    scheme: scheme ?? null,
    name: name ?? null,
    kept: kept ?? null,
    ifLost,
    expires: expires === undefined ? null : formatTime(expires),
    uses: uses.map(({ expires: until, paths, ...use }) => ({
      ...use,
      expires: formatTime(until),
      paths: paths ?? null,
    })),
  }));
}
