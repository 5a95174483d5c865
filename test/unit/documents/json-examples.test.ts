/** Every JSON example of docs/scripting.md matches schemas/output.json. */
import { readFile } from 'node:fs/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { OF_RUNNING_GUESTS } from '../../support/output-schema.ts';

const file = (name: string) => readFile(new URL(`../../../${name}`, import.meta.url), 'utf8');
const schemas = JSON.parse(await file('schemas/output.json'));
const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true });
ajv.addSchema(schemas, 'schemas');

/** The definition that a heading stands for, where it is not the heading itself. */
const DEFINITIONS: Readonly<Record<string, string>> = {
  'add, remove, clear, enable, disable, merge': 'edit',
};

const examples = Array.from(
  (await file('docs/scripting.md')).matchAll(/^## (.*?)\n((?:(?!^## ).*\n)*)/gm),
  ([, heading, body]) =>
    Array.from(body!.matchAll(/^```json\n(.*?)^```$/gms), ([, json]) => ({ heading: heading!, json: json! })),
).flat();

test.each(examples)('the example of "$heading" matches its schema', ({ heading, json }) => {
  const name = DEFINITIONS[heading] ?? heading;
  const validate = ajv.getSchema(`schemas#/$defs/${encodeURIComponent(name)}`);
  if (validate === undefined) throw new Error(`schemas/output.json does not define "${name}"`);
  validate(JSON.parse(json));
  expect(validate.errors ?? []).toEqual([]);
});

test('each document of a command has an example', () => {
  const shown = examples.map(({ heading }) => DEFINITIONS[heading] ?? heading);
  const parts = [
    'size',
    'granularity',
    'plan',
    'planWithSteps',
    'listedBitmap',
    'problem',
    'warning',
    'error',
    ...OF_RUNNING_GUESTS,
  ];
  const documents = Object.keys(schemas.$defs).filter(
    (name) => !parts.includes(name) && !/^stored| PART$| --(dry-run|chain)$/.test(name),
  );
  expect(documents.filter((name) => !shown.includes(name))).toEqual([]);
});
