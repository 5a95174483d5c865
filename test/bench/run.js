/** Measures the built tool against its peers: `npm run bench -- [--quick] [--rounds N] [--only TEXT] [--json]`. */

import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cases } from './cases.js';
import { describeMachine } from './machine.js';
import { race } from './race.js';
import { machineLine, table } from './report.js';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    only: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
  },
});
const rounds = options.rounds === undefined ? undefined : Number(options.rounds);
if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) {
  throw new Error(`--rounds must be a whole number above 0, not '${options.rounds}'`);
}

const tool = fileURLToPath(new URL('../../bin/bitmap-tool.js', import.meta.url));
const machine = await describeMachine();
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
