/**
 * Assembles src/format/l2-kernel.wat into l2-kernel-code.ts in the same folder.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';

const folder = new URL('./src/format/', import.meta.url);
const { parseWat } = await wabt();
const source = readFileSync(new URL('l2-kernel.wat', folder), 'utf8');
const { buffer } = parseWat('l2-kernel.wat', source).toBinary({});
const lines = Buffer.from(buffer)
  .toString('base64')
  .match(/.{1,100}/g);
writeFileSync(
  new URL('l2-kernel-code.ts', folder),
  `/**
 * l2-kernel.wat, assembled by \`npm run kernel\`; in base64.
 */
export const L2_KERNEL_CODE =
  ${lines?.map((line) => `'${line}'`).join(' +\n  ')};
`,
);
