/** Prints the seconds that createFrom takes in a process that runs already: `in-process.js IMAGE BITMAP`. */

const { createFrom } = await import(new URL('../../../dist/index.js', import.meta.url).href);
const [image, bitmap] = process.argv.slice(2);
const startedAt = performance.now();
await createFrom(image, { kind: 'allocated' }, { names: [bitmap] });
console.log((performance.now() - startedAt) / 1000);
