/**
 * Prints the seconds that createFrom takes in a process that runs already: `in-process.js IMAGE BITMAP [again]`. With
 * `again`, a dry run comes before it, so that V8 has compiled the code.
 */

const { createFrom } = await import(new URL('../../../dist/index.js', import.meta.url).href);
const [image, bitmap, again] = process.argv.slice(2);
const run = (dryRun = false) => createFrom(image, { kind: 'allocated' }, { names: [bitmap], dryRun });
if (again) await run(true);
const startedAt = performance.now();
await run();
console.log((performance.now() - startedAt) / 1000);
