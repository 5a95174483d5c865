/** Backing chains of images that qemu-img made. They are followed as far as needed, and refused at a broken image. */
import { chmod, readFile, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { allLayers, type Chain, openChain } from '../../../src/chain/chain.ts';
import { parseReference } from '../../../src/chain/reference.ts';
import { RefusedError } from '../../../src/errors.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));

const create = (path: string, ...options: string[]) =>
  qemuImg('create', '-q', '-f', 'qcow2', ...options, path, ...(options.includes('-b') ? [] : ['1M']));

/** Writes the name of a backing file, which may be missing. */
const rebase = (path: string, backing: string, format = 'qcow2') =>
  qemuImg('rebase', '-u', '-b', backing, '-F', format, path);

async function open(
  path: string,
  options: { locking?: 'lock' | 'share' | 'none'; onWarning?: (text: string) => void } = {},
): Promise<Chain> {
  const chain = await openChain(parseReference(path, undefined), {
    mode: 'read',
    locking: 'lock',
    ...options,
  });
  onTestFinished(() => chain.close());
  return chain;
}

const broken = (message: RegExp) =>
  expect.objectContaining({
    name: 'RefusedError',
    code: 'BROKEN_CHAIN',
    message: expect.stringMatching(message),
  });

describe('a chain', () => {
  test('is followed from the top to the base, and each name is relative to the image that stores it', async () => {
    const folder = await scratchFolder();
    await writeFile(join(folder, 'base.raw'), Buffer.alloc(1_000_000, 1));
    await create(join(folder, 'middle.qcow2'), '-b', 'base.raw', '-F', 'raw');
    await create(join(folder, 'top.qcow2'), '-b', 'middle.qcow2', '-F', 'qcow2');
    const layers = await allLayers(await open(join(folder, 'top.qcow2')));
    expect(layers.map(({ path, format, virtualSizeBytes }) => [path, format, virtualSizeBytes])).toEqual([
      [join(folder, 'top.qcow2'), 'qcow2', 1_000_448],
      [join(folder, 'middle.qcow2'), 'qcow2', 1_000_448],
      [join(folder, 'base.raw'), 'raw', 1_000_448],
    ]);
  });

  test('is refused at a backing file whose name is not UTF-8, because that could be another file', async () => {
    const folder = await scratchFolder();
    const script = `name=$(printf 'b\\351se.qcow2')
qemu-img create -q -f qcow2 "$name" 1M && qemu-img create -q -f qcow2 -b "$name" -F qcow2 top.qcow2`;
    await execa('sh', ['-c', script], { cwd: folder });
    const chain = await open(join(folder, 'top.qcow2'));
    await expect(allLayers(chain)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('a name that is not UTF-8'),
      remedy: { kind: 'use-utf8-name' },
    });
  });

  test('has no layer below its base', async () => {
    const top = join(await scratchFolder(), 'top.qcow2');
    await create(top);
    const chain = await open(top);
    expect([await chain.layer(1), await chain.layer(1), await chain.layer(7)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(await chain.layer(0)).toBe(chain.top);
  });

  test('uses the format in the header, so a raw base cannot act as qcow2', async () => {
    const folder = await scratchFolder();
    await create(join(folder, 'base'));
    await create(join(folder, 'top.qcow2'), '-b', 'base', '-F', 'raw');
    const [, base] = await allLayers(await open(join(folder, 'top.qcow2')));
    expect(base?.format).toBe('raw');
  });

  test('reads a backing file as raw if the header names a file driver as its format', async () => {
    const folder = await scratchFolder();
    const top = join(folder, 'top.qcow2');
    await create(join(folder, 'base'));
    await create(top, '-b', 'base', '-F', 'file');
    expect(await qemuIo(top, 'read -v 0 4')).toContain('51 46 49 fb');
    const [, base] = await allLayers(await open(top));
    expect(base?.format).toBe('raw');
  });

  test('prefers the format in the header to the driver in the name, as QEMU does', async () => {
    const folder = await scratchFolder();
    const [base, top] = [join(folder, 'base'), join(folder, 'top.qcow2')];
    await create(base);
    const name = `json:${JSON.stringify({ driver: 'qcow2', file: { driver: 'file', filename: base } })}`;
    await create(top, '-b', name, '-F', 'raw');
    expect(await qemuIo(top, 'read -v 0 4')).toContain('51 46 49 fb');
    const [, layer] = await allLayers(await open(top));
    expect(layer?.format).toBe('raw');
  });

  test('probes a backing file if the header names no format, and warns of it', async () => {
    const folder = await scratchFolder();
    const [top, base] = [join(folder, 'top.qcow2'), join(folder, 'base')];
    await create(base);
    await create(top, '-b', base, '-F', 'qcow2');
    await eraseBackingFormat(top);
    const warnings: string[] = [];
    const layers = await allLayers(await open(top, { onWarning: (text) => warnings.push(text) }));
    expect(layers.map(({ format }) => format)).toEqual(['qcow2', 'qcow2']);
    expect(warnings).toEqual([expect.stringContaining(`names no format for its backing file ${base}`)]);
  });

  test('may have another backing image, or none, if it is given as json:', async () => {
    const folder = await scratchFolder();
    const at = (name: string) => join(folder, name);
    await create(at('stored.qcow2'));
    await create(at('other.qcow2'));
    await create(at('top.qcow2'), '-b', at('stored.qcow2'), '-F', 'qcow2');
    const named = (backing: unknown) =>
      `json:${JSON.stringify({ driver: 'qcow2', file: { driver: 'file', filename: at('top.qcow2') }, backing })}`;
    const other = { driver: 'qcow2', file: { driver: 'file', filename: at('other.qcow2') } };
    const paths = async (name: string) => (await allLayers(await open(name))).map(({ path }) => path);
    expect(await paths(named(undefined))).toEqual([at('top.qcow2'), at('stored.qcow2')]);
    expect(await paths(named(other))).toEqual([at('top.qcow2'), at('other.qcow2')]);
    expect(await paths(named(null))).toEqual([at('top.qcow2')]);
  });
});

/** Turns the backing format extension into an unknown one, which is kept and means nothing. */
async function eraseBackingFormat(path: string): Promise<void> {
  const bytes = await readFile(path);
  const at = bytes.indexOf(Buffer.from('e2792aca', 'hex'));
  expect(at).toBeGreaterThan(100);
  bytes.writeUInt32BE(0x0badcafe, at);
  await writeFile(path, bytes);
}

describe('refuses a chain that loops', () => {
  test.each(['lock', 'none'] as const)('because an image names itself (%s)', async (locking) => {
    const top = join(await scratchFolder(), 'top.qcow2');
    await create(top);
    await rebase(top, 'top.qcow2');
    const chain = await open(top, { locking });
    await expect(chain.layer(1)).rejects.toEqual(broken(/the chain loops$/));
  });

  test.each(['lock', 'none'] as const)('because two images name each other (%s)', async (locking) => {
    const folder = await scratchFolder();
    const [a, b] = [join(folder, 'a.qcow2'), join(folder, 'b.qcow2')];
    await create(a);
    await create(b);
    await rebase(a, 'b.qcow2');
    await rebase(b, 'a.qcow2');
    const chain = await open(a, { locking });
    expect((await chain.layer(1))?.path).toBe(b);
    await expect(chain.layer(2)).rejects.toEqual(
      broken(/^.*b\.qcow2: its backing file .*a\.qcow2.*the chain loops$/),
    );
    await expect(allLayers(chain)).rejects.toThrow(RefusedError);
  });

  test('because an image comes again under another name', async () => {
    const folder = await scratchFolder();
    const top = join(folder, 'top.qcow2');
    await create(top);
    await symlink('top.qcow2', join(folder, 'link.qcow2'));
    await rebase(top, 'link.qcow2');
    await expect((await open(top)).layer(1)).rejects.toEqual(broken(/the chain loops$/));
  });
});

describe('refuses a broken chain only when it reaches the broken image', () => {
  test('if a backing file is missing', async () => {
    const folder = await scratchFolder();
    await create(join(folder, 'base.qcow2'));
    await create(join(folder, 'middle.qcow2'), '-b', 'base.qcow2', '-F', 'qcow2');
    await create(join(folder, 'top.qcow2'), '-b', 'middle.qcow2', '-F', 'qcow2');
    await unlink(join(folder, 'base.qcow2'));
    const chain = await open(join(folder, 'top.qcow2'));
    expect((await chain.layer(1))?.path).toBe(join(folder, 'middle.qcow2'));
    const complaint = broken(
      /middle\.qcow2: its backing file cannot be opened: .*base\.qcow2: no such file$/,
    );
    await expect(chain.layer(2)).rejects.toEqual(complaint);
    await expect(chain.layer(2)).rejects.toEqual(complaint);
    expect((await chain.layer(1))?.path).toBe(join(folder, 'middle.qcow2'));
  });

  test('if a backing file may not be read, and does not advise to correct its name', async () => {
    const folder = await scratchFolder();
    await create(join(folder, 'base.qcow2'));
    await create(join(folder, 'top.qcow2'), '-b', 'base.qcow2', '-F', 'qcow2');
    await chmod(join(folder, 'base.qcow2'), 0);
    const command = [process.execPath, program, 'list', '--chain', '--json', join(folder, 'top.qcow2')];
    // With these capabilities root may read everything.
    if (process.getuid!() === 0) command.unshift('setpriv', '--bounding-set=-dac_override,-dac_read_search');
    const { exitCode, stderr } = await execa(command[0]!, command.slice(1), { reject: false });
    expect(exitCode).toBe(4);
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'BROKEN_CHAIN', hint: 'Run as a user who may read it.' },
    });
  });

  test('if a backing file is a folder', async () => {
    const folder = await scratchFolder();
    const top = join(folder, 'top.qcow2');
    await create(top);
    await rebase(top, folder);
    await expect((await open(top)).layer(1)).rejects.toEqual(broken(/this is a directory, not an image$/));
  });

  test.each([
    ['a protocol', 'nbd://localhost/disk', 'raw', /the protocol "nbd"/],
    ['json: of another driver', 'json:{"driver":"nbd","host":"localhost"}', 'raw', /the driver "nbd"/],
  ])('if a backing file is named by %s', async (_, name, format, what) => {
    const top = join(await scratchFolder(), 'top.qcow2');
    await create(top);
    await rebase(top, name, format);
    const chain = await open(top);
    expect(chain.top.virtualSizeBytes).toBe(2 ** 20);
    await expect(chain.layer(1)).rejects.toEqual(
      expect.objectContaining({ code: 'UNSUPPORTED', message: expect.stringMatching(what) }),
    );
  });

  test('if a layer has an unsupported format', async () => {
    const folder = await scratchFolder();
    await qemuImg('create', '-q', '-f', 'vmdk', join(folder, 'base.vmdk'), '1M');
    await create(join(folder, 'middle.qcow2'), '-b', 'base.vmdk', '-F', 'vmdk');
    await create(join(folder, 'top.qcow2'), '-b', 'middle.qcow2', '-F', 'qcow2');
    const chain = await open(join(folder, 'top.qcow2'));
    expect((await chain.layer(1))?.format).toBe('qcow2');
    await expect(chain.layer(2)).rejects.toEqual(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        message: `${join(folder, 'base.vmdk')}: unsupported image format "vmdk"`,
      }),
    );
  });
});
