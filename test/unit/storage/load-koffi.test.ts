import { readFile } from 'node:fs/promises';
import { arch } from 'node:os';
import { expect, test } from 'vitest';
import { KOFFI_VERSION } from '../../../src/storage/load-koffi.ts';

test('the binary comes from the package of koffi that package.json names', async () => {
  const { optionalDependencies } = JSON.parse(
    await readFile(new URL('../../../package.json', import.meta.url), 'utf8'),
  ) as { optionalDependencies: { koffi: string } };
  expect(optionalDependencies.koffi).toBe(KOFFI_VERSION);
  const binaryPackage = `@koromix/koffi-linux-${arch()}`;
  const { default: binary } = (await import(binaryPackage)) as {
    default: Record<'version' | 'load' | 'errno', unknown>;
  };
  expect(binary).toMatchObject({
    version: KOFFI_VERSION,
    load: expect.any(Function),
    errno: expect.any(Function),
  });
});
