/**
 * Finds the call of the tool that makes a broken checkpoint valid.
 */
import type { Consent, RepairCall } from '../../remedy.ts';
import { lowestHolderIndex } from '../chain/bitmap-state.ts';
import type { OriginEvidence } from '../known/origin-evidence.ts';
import type { Holding } from '../verdict/verdict.ts';
import { decideRepair } from './repair-action.ts';

/**
 * @param chain the state of the checkpoint's bitmap in each image, top first
 * @param evidence evidence about the image that was active when the checkpoint was made
 * @param isOnFile whether the checkpoint comes from XML: a call with that XML does not need its name
 * @returns null if no repair is needed
 */
export function repairAdvice(
  name: string,
  chain: readonly Holding[],
  evidence: OriginEvidence,
  isOnFile = false,
): RepairCall | null {
  const top = chain[0]!;
  const lowest = lowestHolderIndex(chain.map(({ state }) => state));
  const { path: place, index: recorded } = placeOf(chain, evidence);
  const isLost = recorded !== undefined && recorded > (lowest ?? -1);
  const origin = isLost ? recorded : lowest;
  const call = {
    kind: 'repair-checkpoint',
    images: [top.image],
    names: [name],
    consents: [],
    origins: [],
    branches: [],
    isAgainst: false,
  } as const;
  // The chain does not show the writes to an image that has left it.
  if (evidence.kind === 'left' && (lowest ?? -1) < (evidence.fork ?? 0)) {
    const { isThere, fork, path } = evidence;
    return isThere && fork !== undefined
      ? { ...call, names: isOnFile ? undefined : [name], branches: [path] }
      : { ...call, isAgainst: true };
  }
  if (origin === undefined) {
    // A chain of one image has only one possible origin.
    return { ...call, origins: [chain.length === 1 && !isOnFile ? top.image : null] };
  }
  const holders = chain.slice(0, origin + 1);
  const unreadable = holders.find(({ state }) => state === 'unreadable');
  if (unreadable !== undefined) return { kind: 'repair-directory-first', file: unreadable.image };
  if (holders.some(({ virtualSizeBytes }) => virtualSizeBytes !== top.virtualSizeBytes)) {
    const [smallest] = holders.toSorted((a, b) => a.virtualSizeBytes - b.virtualSizeBytes);
    const { state, image: smaller } = smallest!;
    // QEMU does not resize an image with an in-use bitmap. It drops outdated bitmaps.
    if (state === 'in-use' || state === 'stale') {
      const { consent } = decideRepair(state, smallest === holders.at(-1), true);
      return { ...call, images: [smaller], consents: consent === undefined ? [] : [consent] };
    }
    const sizeBytes = Math.max(...holders.map(({ virtualSizeBytes }) => virtualSizeBytes));
    return { kind: 'resize-image', file: smaller, sizeBytes };
  }
  const decisions = holders.map(({ state, missingBytes }, index) =>
    decideRepair(state, index === origin, missingBytes === 0),
  );
  if (decisions.every(({ action }) => action === 'keep')) return null;
  const agreed = isLost ? decisions.slice(0, -1) : decisions;
  const consents = [...new Set(agreed.flatMap(({ consent }) => consent ?? []))];
  if (isLost && isOnFile && evidence.kind === 'in-chain' && evidence.isCertain) {
    // With the XML, the repair can use an older checkpoint of that image. It then marks less than with the
    // origin alone.
    return { ...call, names: undefined, consents: [...new Set<Consent>([...consents, 'rebuild-origin'])] };
  }
  if (isLost) {
    const isFound = isOnFile && place !== null;
    return { ...call, names: isFound ? undefined : [name], consents, origins: [place] };
  }
  if (isOnFile) return { ...call, names: undefined, consents };
  const isClear = holders.find(({ state }) => state !== 'missing')?.state === 'good';
  if (isClear && consents.length === 0) return { ...call, names: undefined };
  return { ...call, consents };
}

/**
 * The origin of the checkpoint according to its XML. The path is null if the XML does not prove it. A person
 * must then name the image.
 */
function placeOf(
  chain: readonly Holding[],
  evidence: OriginEvidence,
): { index: number | undefined; path: string | null } {
  switch (evidence.kind) {
    case 'unknown':
    case 'left':
      return { index: undefined, path: null };
    case 'in-chain': {
      const { index, isCertain } = evidence;
      return { index, path: isCertain ? chain[index]!.image : null };
    }
    case 'lower':
      return { index: evidence.last, path: chain[evidence.last]!.image };
  }
}
