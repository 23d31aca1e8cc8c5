import { writeFileSync } from 'node:fs';
import * as z from 'zod/mini';
import { syncSchema } from '../../src/actions/sync/schema.ts';
import { configSchema } from '../../src/cli/shell/config-schema.ts';
import { descriptorSchema } from '../../src/oci/descriptor.ts';
import { imageManifestSchema, indexManifestSchema } from '../../src/oci/manifest.ts';
import { SHAPE } from '../../src/oci/shape.ts';
import { policySchema } from '../../src/policy/file/schema.ts';
import { resignerSchema } from '../../src/servers/resigner/config-schema.ts';
import { pinsSchema } from '../../src/state/pins.ts';
import { beginningSchema } from '../../src/trust/approve/beginning.ts';
import { changeFileSchema } from '../../src/trust/approve/change-file.ts';

const DRAFT = 'https://json-schema.org/draft/2020-12/schema';

/** The documents whose schemas are published in spec/schemas, from the code that checks them. */
const DOCUMENTS: Readonly<Record<string, z.ZodMiniType>> = {
  configuration: configSchema,
  resigner: resignerSchema,
  descriptor: descriptorSchema,
  manifest: imageManifestSchema,
  index: indexManifestSchema,
  pins: pinsSchema,
  policy: policySchema,
  sync: syncSchema,
  change: changeFileSchema,
  beginning: beginningSchema,
};

/** Text of each file of spec/schemas by its name. */
export function schemas(): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(DOCUMENTS).map(([name, schema]) => {
      const json = published(schema);
      return [`${name}.json`, `${JSON.stringify({ $schema: DRAFT, title: name, ...json }, undefined, 2)}\n`];
    }),
  );
}

/** JSON Schema of a zod schema, lists and texts by what they note of themselves. */
function published(schema: z.ZodMiniType): Record<string, unknown> {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      const shape = z.globalRegistry.get(zodSchema)?.[SHAPE] as
        | { readonly listOf: z.ZodMiniType }
        | 'texts'
        | undefined;
      delete (jsonSchema as Record<string, unknown>)[SHAPE];
      if (shape === 'texts')
        Object.assign(jsonSchema, { type: 'object', additionalProperties: { type: 'string' } });
      else if (shape !== undefined)
        Object.assign(jsonSchema, { type: 'array', items: published(shape.listOf) });
    },
  });
  return json;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  for (const [name, text] of schemas())
    writeFileSync(new URL(`../../spec/schemas/${name}`, import.meta.url), text);
}
