/**
 * The files that a QEMU has open. Its file names can mean other files here: it may run in another mount namespace,
 * such as a container, or a file of that name was replaced since.
 */
import { readdir, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileIdentity } from '../storage/file.ts';

/**
 * @returns the identities of the files (see FileStorage); undefined if the process is unknown, is not a QEMU, or
 * does not show its files
 */
export async function filesOfQemu(processId: number | undefined): Promise<ReadonlySet<string> | undefined> {
  if (processId === undefined) return undefined;
  const program = await readlink(`/proc/${processId}/exe`).catch(() => '');
  // Another program may pass on the commands.
  if (!basename(program).includes('qemu')) return undefined;
  const folder = `/proc/${processId}/fd`;
  const descriptors = await readdir(folder).catch(() => undefined);
  if (descriptors === undefined) return undefined;
  const identities = await Promise.all(
    descriptors.map((descriptor) => fileIdentity(`${folder}/${descriptor}`).catch(() => '')),
  );
  return new Set(identities);
}
