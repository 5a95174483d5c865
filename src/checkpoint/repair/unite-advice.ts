/**
 * Combines the calls that the checkpoints of a guest need into one call, where one call can do it.
 */
import type { Consent, RepairCall } from '../../remedy.ts';

type CheckpointCall = Extract<RepairCall, { kind: 'repair-checkpoint' }>;

/** The call that one checkpoint of one disk needs. */
export interface Need {
  /** The active image of the disk. */
  readonly image: string;
  readonly name: string;
  readonly call: RepairCall;
}

interface Group {
  readonly needs: Need[];
  readonly calls: CheckpointCall[];
}

/**
 * @param images the active images of all disks, in their order
 * @param isOnFile whether the checkpoints come from XML: one of them may not cover every disk
 * @returns the call for each need
 */
export function uniteAdvice(
  needs: readonly Need[],
  images: readonly string[],
  isOnFile: boolean,
): Map<Need, RepairCall> {
  const united = new Map<Need, RepairCall>();
  const groups = new Map<string, Group>();
  for (const need of needs) {
    const { call } = need;
    if (!isForDisk(need, call)) {
      united.set(need, call);
      continue;
    }
    // A backup is for one checkpoint.
    const key = call.isAgainst ? JSON.stringify([need.image, need.name]) : placesOf(need.name, needs);
    const group = groups.get(key) ?? { needs: [], calls: [] };
    groups.set(key, group);
    group.needs.push(need);
    group.calls.push(call);
  }
  for (const group of groups.values()) {
    const call = callOf(group, images, isOnFile, groups.size === 1);
    for (const need of group.needs) united.set(need, call);
  }
  return united;
}

/** A call for a lower image must run before the call for the disk. */
function isForDisk({ image }: Need, call: RepairCall): call is CheckpointCall {
  return call.kind === 'repair-checkpoint' && call.images.includes(image);
}

/**
 * The origins and branches that a checkpoint needs on each disk. Those of a call count for all its checkpoints,
 * also for one that is valid on that disk. So checkpoints with different ones need different calls.
 */
function placesOf(name: string, needs: readonly Need[]): string {
  const places = needs.flatMap((need) => {
    const { image, call } = need;
    if (need.name !== name || !isForDisk(need, call) || call.isAgainst) return [];
    const { origins, branches } = call;
    return origins.length + branches.length > 0 ? [{ image, origins, branches }] : [];
  });
  return JSON.stringify(places);
}

function callOf(
  { needs, calls }: Group,
  images: readonly string[],
  isOnFile: boolean,
  isOnly: boolean,
): CheckpointCall {
  const consents = new Set<Consent>(calls.flatMap((call) => call.consents));
  const needing = new Set(needs.map(({ image }) => image));
  // Each disk needs its own, also where a person must find them.
  const origins = new Map(
    needs.flatMap(({ image }, index) =>
      calls[index]!.origins.map((origin) => [JSON.stringify([image, origin]), origin] as const),
    ),
  );
  // A call without names repairs all checkpoints. It would refuse because of the checkpoints of another call.
  const isForAll = isOnly && calls.every(({ names }) => names === undefined);
  const isForImages = isForAll || !isOnFile ? images : images.filter((image) => needing.has(image));
  return {
    kind: 'repair-checkpoint',
    images: isForImages,
    names: isForAll ? undefined : [...new Set(needs.map(({ name }) => name))],
    consents: [...consents],
    origins: [...origins.values()],
    branches: [...new Set(calls.flatMap(({ branches }) => branches))],
    isAgainst: calls.some(({ isAgainst }) => isAgainst),
  };
}
