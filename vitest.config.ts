import { defineConfig } from 'vitest/config';

export default defineConfig({
  define: { BITMAP_TOOL_VERSION: JSON.stringify('of the tests') },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/build.ts'],
    // Most of a test's time goes into programs that it waits for: no core need be kept free for the runner.
    maxWorkers: '100%',
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
