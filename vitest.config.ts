import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

const { version } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));

/** Tests of one folder; `setup` builds what they run. */
const project = (name: string, folder: string, setup?: string) => ({
  extends: true as const,
  test: {
    name,
    include: [`${folder}/**/*.test.ts`],
    globalSetup: setup === undefined ? [] : [`test/support/${setup}.ts`],
  },
});

export default defineConfig({
  // As the build defines it.
  define: { BITMAP_TOOL_VERSION: JSON.stringify(version) },
  test: {
    projects: [
      project('unit', 'test/unit'),
      project('program', 'test/program', 'build-program'),
      project('qemu', 'test/qemu', 'build-program'),
      project('campaigns', 'test/campaigns', 'build-program'),
      project('package', 'test/tools/package', 'build-package'),
    ],
    // Most of a test's time goes into programs that it waits for: no core need be kept free for the runner.
    maxWorkers: '100%',
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
