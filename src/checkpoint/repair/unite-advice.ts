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
  const groups: Group[] = [];
  for (const need of needs) {
    const { call } = need;
    // A call for a lower image must run before the call for the disk.
    if (call.kind !== 'repair-checkpoint' || !call.images.includes(need.image)) {
      united.set(need, call);
      continue;
    }
    const group = groups.find((each) => isFit(each, need, call));
    if (group === undefined) groups.push({ needs: [need], calls: [call] });
    else {
      group.needs.push(need);
      group.calls.push(call);
    }
  }
  for (const group of groups) {
    const call = callOf(group, images, isOnFile, groups.length === 1);
    for (const need of group.needs) united.set(need, call);
  }
  return united;
}

/** A call has one origin and one branch for a disk. A backup is for one checkpoint. */
function isFit({ needs, calls }: Group, { image }: Need, call: CheckpointCall): boolean {
  if (call.isAgainst || calls.some(({ isAgainst }) => isAgainst)) return false;
  const place = ({ origins, branches }: CheckpointCall) => JSON.stringify([origins, branches]);
  const isPlaced = ({ origins, branches }: CheckpointCall) => origins.length + branches.length > 0;
  return calls.every(
    (other, index) =>
      needs[index]!.image !== image || !isPlaced(other) || !isPlaced(call) || place(other) === place(call),
  );
}

function callOf(
  { needs, calls }: Group,
  images: readonly string[],
  isOnFile: boolean,
  isOnly: boolean,
): CheckpointCall {
  const consents = new Set<Consent>(calls.flatMap((call) => call.consents));
  const needing = new Set(needs.map(({ image }) => image));
  // A call without names repairs all checkpoints. It would refuse because of the checkpoints of another call.
  const isForAll = isOnly && calls.every(({ names }) => names === undefined);
  const isForImages = isForAll || !isOnFile ? images : images.filter((image) => needing.has(image));
  return {
    kind: 'repair-checkpoint',
    images: isForImages,
    names: isForAll ? undefined : [...new Set(needs.map(({ name }) => name))],
    consents: [...consents],
    origins: [...new Set(calls.flatMap(({ origins }) => origins))],
    branches: [...new Set(calls.flatMap(({ branches }) => branches))],
    isAgainst: calls.some(({ isAgainst }) => isAgainst),
  };
}
