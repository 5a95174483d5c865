import { readFileSync } from 'node:fs';
import { defineConfig, type UserWorkspaceConfig } from 'vitest/config';

const { version } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));

/** These tests keep to themselves, and loading the sources once for all of them takes a third of the time. */
const IN_THREADS = { pool: 'threads', isolate: false } as const;

/** Tests of one folder. Projects run in the order of `groupOrder`: a thread serves the tests of one project. */
const project = (name: string, folder: string, groupOrder: number, options: UserWorkspaceConfig['test']) => ({
  extends: true as const,
  test: { name, include: [`${folder}/**/*.test.ts`], sequence: { groupOrder }, ...options },
});

/** Builds what the tests run. */
const after = (setup: string) => ({ globalSetup: [`test/support/${setup}.ts`] });

export default defineConfig({
  // As the build defines it.
  define: { BITMAP_TOOL_VERSION: JSON.stringify(version) },
  test: {
    projects: [
      project('unit', 'test/unit', 0, IN_THREADS),
      project('program', 'test/program', 1, { ...IN_THREADS, ...after('build-program') }),
      project('qemu', 'test/qemu', 2, after('build-program')),
      project('campaigns', 'test/campaigns', 3, after('build-program')),
      project('package', 'test/tools/package', 4, after('build-package')),
    ],
    // Most of a test's time goes into programs that it waits for: no core need be kept free for the runner.
    maxWorkers: '100%',
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
});
