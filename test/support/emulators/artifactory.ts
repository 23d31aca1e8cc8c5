import { type Dialect, json, pageSize, refusal, unconditional, without } from './proxy.ts';

/**
 * Artifactory, a virtual repository reached by a path: references have its name before theirs, and the Link of a list has
 * it not; `last` is how many there were, a number (renovatebot/renovate#15080, #20745, #35917; RTFACT-18971). What is not
 * a number begins at the beginning.
 * @param key name of the virtual repository: the first part of each path
 */
export function artifactory(key: string): Dialect {
  return async (asked, context) => {
    const { kind, repository } = context;
    if (kind === 'tags') {
      const tags = await context.tags();
      if (tags === undefined) return refusal(404, 'NAME_UNKNOWN', 'Repository name not known to registry.');
      const start = Number.parseInt(asked.query.get('last') ?? '0', 10) || 0;
      const n = pageSize(asked.query, 10_000);
      const inside = repository.replace(`${key}/`, '');
      const link = `</v2/${inside}/tags/list?last=${start + n}&n=${n}>; rel="next"`;
      const headers = {
        link: tags.length > start + n ? link : undefined,
        'x-jfrog-version': 'Artifactory/7.46.11',
      };
      return json(200, { name: repository, tags: tags.slice(start, start + n) }, headers);
    }
    return without(await context.pass(unconditional(asked)), 'etag');
  };
}
