/**
 * Images that a seeded mutator with knowledge of the format has broken: no crash, no hang, no memory above the limit, no write
 * after a refusal, no image worse than before, and no reading that differs from QEMU's.
 *
 * BITMAP_TOOL_CASES=200000 runs the large campaign, BITMAP_TOOL_SEED=… BITMAP_TOOL_CASES=1 one case again.
 */
import { appendFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { randomCases } from '../../support/random.ts';
import { runCampaign } from './campaign.ts';

const USUAL_CASES = 2500;
const JOBS = 2;
/** QEMU takes its time. */
const COMPARE_ONE_IN = 8;

test(
  'no broken image causes harm',
  async () => {
    const cases = randomCases(USUAL_CASES);
    const log = process.env['BITMAP_TOOL_FUZZ_LOG'];
    const result = await runCampaign(
      {
        firstSeed: cases[0]!.seed,
        cases: cases.length,
        jobs: Math.min(JOBS, cases.length),
        compareOneIn: cases.length === 1 ? 1 : COMPARE_ONE_IN,
      },
      (finding) => log && appendFileSync(log, `${JSON.stringify(finding)}\n`),
    );
    const { findings, ...figures } = result;
    console.log(`fuzz: ${JSON.stringify(figures, null, 1)}`);
    expect(figures.cases + findings.length).toBeGreaterThanOrEqual(cases.length);
    const reports = findings.map(
      ({ seed, what, fault }) => `BITMAP_TOOL_SEED=${seed} BITMAP_TOOL_CASES=1: ${what}\n    ${fault}`,
    );
    expect(reports.join('\n')).toBe('');
  },
  24 * 3600_000,
);
