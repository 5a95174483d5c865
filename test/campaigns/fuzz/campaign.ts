/** Divides fuzz cases among processes. A process that hangs or dies is a finding. */
import { fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { CaseResult, WorkerReport, WorkerTask } from './worker.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** A case may take this long on a machine that has much else to do. */
const HANG_MS = 60_000;
/** What docs/guarantees.md promises, and what these processes need for themselves and for judging. */
const MEMORY_BYTES = 2 * 2 ** 30;

export interface Campaign {
  readonly firstSeed: number;
  readonly cases: number;
  readonly jobs: number;
  readonly compareOneIn: number;
}

export interface Finding {
  readonly seed: number;
  readonly what: string;
  readonly fault: string;
}

export interface CampaignResult {
  readonly cases: number;
  readonly wrote: number;
  readonly compared: number;
  readonly byExitCode: Record<string, number>;
  /** What this tool refuses although QEMU reads it, and how often. */
  readonly stricter: Record<string, number>;
  readonly peakBytes: number;
  readonly findings: readonly Finding[];
}

export async function runCampaign(
  campaign: Campaign,
  onFinding?: (finding: Finding) => void,
): Promise<CampaignResult> {
  const worker = await bundleWorker();
  const total = { cases: 0, wrote: 0, compared: 0, peakBytes: 0 };
  const byExitCode: Record<string, number> = {};
  const stricter: Record<string, number> = {};
  const findings: Finding[] = [];
  const add = (finding: Finding) => {
    findings.push(finding);
    onFinding?.(finding);
  };
  const count = (result: CaseResult) => {
    total.cases++;
    if (result.wrote) total.wrote++;
    if (result.compared) total.compared++;
    total.peakBytes = Math.max(total.peakBytes, result.peakBytes);
    byExitCode[result.exitCode] = (byExitCode[result.exitCode] ?? 0) + 1;
    for (const refusal of result.stricter) stricter[refusal] = (stricter[refusal] ?? 0) + 1;
    for (const fault of result.faults) add({ seed: result.seed, what: result.what, fault });
  };
  const share = Math.ceil(campaign.cases / campaign.jobs);
  try {
    await Promise.all(
      Array.from({ length: campaign.jobs }, async (_, job) => {
        const end = Math.min((job + 1) * share, campaign.cases);
        let next = job * share;
        // A worker that ends early has met a finding; the rest goes to another one.
        while (next < end) {
          const done = await runWorker(
            worker,
            {
              fixtures: join(root, 'fixtures', 'images'),
              temporaryFolder: existsSync('/dev/shm') ? '/dev/shm' : tmpdir(),
              firstSeed: campaign.firstSeed + next,
              count: end - next,
              memoryBytes: MEMORY_BYTES,
              compareOneIn: campaign.compareOneIn,
            },
            count,
            add,
          );
          next = done - campaign.firstSeed;
        }
      }),
    );
  } finally {
    await rm(worker, { force: true });
  }
  return { ...total, byExitCode, stricter, findings };
}

/** One process; returns the first seed that it has not dealt with. */
function runWorker(
  worker: string,
  task: WorkerTask,
  onResult: (result: CaseResult) => void,
  onFinding: (finding: Finding) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = fork(worker, [JSON.stringify(task)], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
    let current: { seed: number; what: string } | undefined;
    let next = task.firstSeed;
    let words = '';
    let hung = false;
    let timer: NodeJS.Timeout | undefined;
    child.stderr!.on('data', (chunk) => {
      words = `${words}${chunk}`.slice(-2000);
    });
    child.on('message', (message: WorkerReport) => {
      clearTimeout(timer);
      if (message.kind === 'begin') {
        current = message;
        next = message.seed + 1;
        timer = setTimeout(() => {
          hung = true;
          child.kill('SIGKILL');
        }, HANG_MS);
      } else {
        current = undefined;
        onResult(message.result);
      }
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (current !== undefined) {
        const end = hung ? `no end within ${HANG_MS} ms` : `the process died: ${signal ?? code}: ${words}`;
        onFinding({ seed: current.seed, what: current.what, fault: end });
      } else if (code !== 0) {
        reject(new Error(`the fuzz worker failed: ${words}`));
        return;
      }
      resolve(next);
    });
  });
}

/** Under node_modules, where koffi is found. */
async function bundleWorker(): Promise<string> {
  const outfile = join(root, 'node_modules', '.cache', 'bitmap-tool', `fuzz-worker-${process.pid}.mjs`);
  await build({
    entryPoints: [fileURLToPath(new URL('worker.ts', import.meta.url))],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: ['koffi'],
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    define: { BITMAP_TOOL_VERSION: '"fuzz"' },
    logLevel: 'warning',
  });
  return outfile;
}
