/** Compares the output of --json with schemas/output.json. */
import { readFileSync } from 'node:fs';
import { Ajv2020, type AnySchemaObject, type ValidateFunction } from 'ajv/dist/2020.js';

export const outputSchemas: AnySchemaObject = JSON.parse(
  readFileSync(new URL('../../schemas/output.json', import.meta.url), 'utf8'),
);

const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true });
ajv.addSchema(outputSchemas, 'schemas');

/** What only commands on a running QEMU print: their own tests judge it. */
export const OF_RUNNING_GUESTS = [
  'domain',
  'check --domain',
  'repair --domain',
  'runningBitmap',
  'list --qmp',
  'list --chain --qmp',
];

function validator(name: string): ValidateFunction {
  const pointer = encodeURIComponent(name).replaceAll('~', '~0');
  const validate = ajv.getSchema(`schemas#/$defs/${pointer}`);
  if (validate === undefined) throw new Error(`schemas/output.json does not define ${name}`);
  return validate;
}

/** The complaints about a document; none where it is as defined. */
export function schemaFaults(name: string, document: unknown): string[] {
  const validate = validator(name);
  if (validate(document)) return [];
  return validate.errors!.map(
    ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}
