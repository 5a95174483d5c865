/**
 * Refuses changes while QEMU is busy: a job, a migration or failed storage would interfere.
 */
import { InUseError } from '../errors.ts';
import type { Remedy } from '../remedy.ts';
import type { ImageNode } from './block-nodes.ts';
import { runOf } from './own-names.ts';
import { type Qmp, QmpError } from './qmp.ts';

interface JobInfo {
  readonly id: string;
  readonly type: string;
  readonly status: string;
}

/** The values of MigrationStatus in which no migration is under way. */
const NOT_MIGRATING = new Set(['none', 'completed', 'cancelled', 'failed']);

/** Run states (RunState) in which a guest is between two hosts, or waits for its storage. */
const REFUSED_STATES: ReadonlyMap<string, string> = new Map([
  ['io-error', 'is paused for an I/O error'],
  ['inmigrate', 'is being migrated to this host'],
  ['finish-migrate', 'is being migrated'],
  ['postmigrate', 'has been migrated away'],
  ['internal-error', 'is stopped for an internal error'],
]);

/** A block job or another job that QEMU runs. */
export async function findJob(qmp: Qmp): Promise<JobInfo | undefined> {
  const [job] = await qmp.execute<JobInfo[]>('query-jobs');
  return job;
}

/** @throws InUseError while a job runs, the guest migrates, or its storage fails */
export async function refuseBusyQemu(qmp: Qmp): Promise<void> {
  const job = await findJob(qmp);
  if (job !== undefined) {
    throw inUse(qmp, `the ${job.type} job "${job.id}" is ${job.status}`, { kind: 'wait-for-job' });
  }
  const state = await known<{ status: string }>(qmp, 'query-status');
  const refused = state === undefined ? undefined : REFUSED_STATES.get(state.status);
  if (refused !== undefined) throw inUse(qmp, `the guest ${refused}`, { kind: 'repair-guest' });
  const migration = await known<{ status?: string }>(qmp, 'query-migrate');
  if (migration?.status !== undefined && !NOT_MIGRATING.has(migration.status)) {
    throw inUse(qmp, 'the guest is being migrated', { kind: 'wait-for-migration' });
  }
}

/** @throws InUseError while a job or an export uses a bitmap of the images */
export function refuseBusyBitmaps(qmp: Qmp, nodes: readonly ImageNode[]): void {
  for (const { path, bitmaps } of nodes) {
    const busy = bitmaps.find((bitmap) => bitmap.busy && runOf(bitmap.name) === undefined);
    if (busy === undefined) continue;
    throw inUse(qmp, `${path}: a job or an export uses the bitmap "${busy.name}"`, {
      kind: 'wait-for-user-of-bitmap',
    });
  }
}

/** A qemu-storage-daemon has no guest, and does not know these commands. */
async function known<T>(qmp: Qmp, command: string): Promise<T | undefined> {
  try {
    return await qmp.execute<T>(command);
  } catch (error) {
    if (error instanceof QmpError && error.errorClass === 'CommandNotFound') return undefined;
    throw error;
  }
}

function inUse({ name }: Qmp, what: string, remedy: Remedy): InUseError {
  return new InUseError(`${name}: ${what}; nothing was changed`, { remedy, context: { qemu: name } });
}
