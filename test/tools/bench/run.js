/**
 * Measures the built tool against its peers: `npm run bench -- [--quick] [--rounds N] [--only TEXT] [--json]`; or draws how
 * both grow with the image: `npm run bench -- --growth FILE.svg [--largest MIB]`, for tables of up to 8192 MiB.
 */

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cases } from './cases.js';
import { measureGrowth } from './growth.js';
import { growthPicture } from './growth-picture.js';
import { describeMachine } from './machine.js';
import { race } from './race.js';
import { machineLine, table } from './report.js';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    only: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
    growth: { type: 'string' },
    largest: { type: 'string', default: '8192' },
  },
});
const rounds = options.rounds === undefined ? undefined : Number(options.rounds);
if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) {
  throw new Error(`--rounds must be a whole number above 0, not '${options.rounds}'`);
}

const tool = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));
const machine = await describeMachine();
if (options.growth !== undefined) {
  const points = await measureGrowth(tool, Number(options.largest));
  writeFileSync(options.growth, growthPicture(points, machineLine(machine)));
  process.exit();
}
const results = [];
for (const row of cases.filter(({ name }) => name.includes(options.only))) {
  console.error(`measuring ${row.name} …`);
  results.push(await race(row, tool, { quick: options.quick, rounds }));
}
if (results.length === 0) throw new Error(`no case has '${options.only}' in its name`);

if (options.json) {
  console.log(
    JSON.stringify({ schema: 1, date: new Date().toISOString(), machine, quick: options.quick, results }),
  );
} else {
  console.log(`${machineLine(machine)}${options.quick ? ', small images' : ''}\n\n${table(results)}`);
}
