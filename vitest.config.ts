import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

const { version } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));

/** Tests of one folder; `setup` builds what they run. Projects run in the order of `groupOrder`. */
const project = (name: string, folder: string, setup: string, groupOrder: number) => ({
  extends: true as const,
  test: {
    name,
    include: [`${folder}/**/*.test.ts`],
    globalSetup: [`test/support/${setup}.ts`],
    sequence: { groupOrder },
  },
});

export default defineConfig({
  // As the build defines it.
  define: { BITMAP_TOOL_VERSION: JSON.stringify(version) },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          // They keep to themselves, and loading the sources once for all of them takes a third of the time.
          pool: 'threads',
          isolate: false,
          sequence: { groupOrder: 0 },
        },
      },
      project('program', 'test/program', 'build-program', 0),
      project('qemu', 'test/qemu', 'build-program', 2),
      project('campaigns', 'test/campaigns', 'build-program', 3),
      project('package', 'test/tools/package', 'build-package', 4),
    ],
    // Most of a test's time goes into programs that it waits for: no core need be kept free for the runner.
    maxWorkers: '100%',
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
});
