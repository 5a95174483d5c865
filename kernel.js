/**
 * Assembles the WebAssembly kernels in src into files of code next to them: NAME-kernel.wat into NAME-kernel-code.ts.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';

const { parseWat } = await wabt();
for (const path of ['src/bytes/count-kernel', 'src/bytes/number-kernel', 'src/format/l2-kernel']) {
  const kernel = new URL(path, import.meta.url).href;
  const name = path.slice(path.lastIndexOf('/') + 1);
  const { buffer } = parseWat(`${name}.wat`, readFileSync(new URL(`${kernel}.wat`), 'utf8')).toBinary({});
  const lines = Buffer.from(buffer)
    .toString('base64')
    .match(/.{1,100}/g);
  writeFileSync(
    new URL(`${kernel}-code.ts`),
    `/**
 * ${name}.wat, assembled by \`npm run kernel\`; in base64.
 */
export const ${name.toUpperCase().replace('-', '_')}_CODE =
  ${lines?.map((line) => `'${line}'`).join(' +\n  ')};
`,
  );
}
