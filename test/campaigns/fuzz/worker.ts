/** Runs a range of fuzz cases in sequence and reports each to its parent, which watches the time. */
import { mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Random, seededRandom } from '../../support/random.ts';
import { COMMANDS, type FuzzedCommand } from './commands.ts';
import { changeFaults, outputFaults } from './judge.ts';
import { mutate } from './mutate.ts';
import { runHere } from './program.ts';
import { loadSamples, type Sample } from './samples.ts';
import { secondReading } from './second-reading.ts';

export interface WorkerTask {
  readonly fixtures: string;
  readonly temporaryFolder: string;
  readonly firstSeed: number;
  readonly count: number;
  /** Peak memory of this process that is a fault, in bytes. */
  readonly memoryBytes: number;
  /** Of how many cases one is read by QEMU, too. */
  readonly compareOneIn: number;
}

export type WorkerReport =
  | { readonly kind: 'begin'; readonly seed: number; readonly what: string }
  | { readonly kind: 'end'; readonly result: CaseResult };

export interface CaseResult {
  readonly seed: number;
  readonly what: string;
  readonly exitCode: number;
  readonly faults: readonly string[];
  readonly wrote: boolean;
  readonly compared: boolean;
  readonly stricter: readonly string[];
  readonly peakBytes: number;
}

const ORIGINAL = 'original.qcow2';

async function work(task: WorkerTask): Promise<void> {
  const folder = mkdtempSync(join(task.temporaryFolder, 'fuzz-'));
  // Data files are named relative to the current folder.
  process.chdir(folder);
  try {
    const samples = loadSamples(task.fixtures);
    for (let seed = task.firstSeed; seed < task.firstSeed + task.count; seed++) {
      const random = seededRandom(seed);
      const result = await tryCase(random.pick(samples), seed, random, task);
      await report({ kind: 'end', result });
      if (result.peakBytes > task.memoryBytes) break;
    }
  } finally {
    process.chdir('/');
    rmSync(folder, { recursive: true, force: true });
  }
  process.disconnect();
}

async function tryCase(sample: Sample, seed: number, random: Random, task: WorkerTask): Promise<CaseResult> {
  const broken = random.chance(0.8) ? sample.images[0]! : random.pick(sample.images);
  const { bytes, story } = mutate(sample.files.get(broken)!, sample.landmarks.get(broken)!, random);
  const command = random.pick(COMMANDS);
  const isJson = random.chance(0.5);
  const args = argsOf(command, sample, broken, isJson, random);
  const what = `${sample.name}/${broken}: ${story.join('; ')}: bitmap-tool ${args.join(' ')}`;
  await report({ kind: 'begin', seed, what });

  const files = new Map([...sample.files, [ORIGINAL, sample.files.get('disk.qcow2')!], [broken, bytes]]);
  for (const [name, content] of files) writeFileSync(name, content);
  const isCompared = random.below(task.compareOneIn) === 0;
  const reading = isCompared ? await secondReading(askedImage(args, sample), sample) : undefined;
  const outcome = await runHere(args);
  const faults = [...(reading?.disagreements ?? []), ...outputFaults(outcome, args.includes('--json'))];
  const changed = [...files].filter(([name, content]) => !readFileSync(name).equals(content));
  // With 3 `repair` says that something was left alone.
  const mayWrite = command.kind === 'writes' && [0, 3].includes(outcome.exitCode);
  for (const [name, before] of changed) {
    if (mayWrite) faults.push(...changeFaults(name, before, readFileSync(name)));
    // qemu-img bitmap stores the actions before the one that failed, and so does its drop-in.
    else if (args[0] !== 'bitmap') faults.push(`${name} has changed, exit code ${outcome.exitCode}`);
  }
  for (const name of files.keys()) unlinkSync(name);
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  if (peakBytes > task.memoryBytes) faults.push(`peak memory ${Math.round(peakBytes / 2 ** 20)} MiB`);
  return {
    seed,
    what,
    exitCode: outcome.exitCode,
    faults,
    wrote: mayWrite && changed.length > 0,
    compared: isCompared,
    stricter: reading?.stricter ?? [],
    peakBytes,
  };
}

function argsOf(
  command: FuzzedCommand,
  sample: Sample,
  broken: string,
  isJson: boolean,
  random: Random,
): string[] {
  // A broken backing image is met from above, or is asked itself.
  const asked = random.chance(0.7) ? sample.images[0]! : broken;
  const bitmap = random.pick([...Object.keys(sample.bitmaps[asked] ?? {}), 'absent']);
  const args = command.args(asked, { random, bitmap, original: ORIGINAL });
  return isJson && args[0] !== 'bitmap' ? [...args, '--json'] : args;
}

/** The image that the command is about. */
function askedImage(args: readonly string[], sample: Sample): string {
  return sample.images.find((image) => args.includes(image)) ?? sample.images[0]!;
}

function report(message: WorkerReport): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send!(message, (error: Error | null) => (error ? reject(error) : resolve()));
  });
}

await work(JSON.parse(process.argv[2]!));
