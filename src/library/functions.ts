/**
 * The functions of the library: the operations, called only with arguments that keep their rules. The command
 * line checks its own arguments, and does not load this.
 */
import type { AddOptions } from '../operations/bitmaps/add-bitmaps.ts';
import type { BitmapActionOptions } from '../operations/bitmaps/bitmap-actions.ts';
import type { DumpOptions } from '../operations/bitmaps/dump-bitmap.ts';
import type { ListOptions } from '../operations/bitmaps/list-bitmaps.ts';
import type { RemoveOptions } from '../operations/bitmaps/remove-chosen.ts';
import type { VerifyOptions } from '../operations/bitmaps/verify-bitmap.ts';
import type { CarryOptions } from '../operations/checkpoints/carry-checkpoints.ts';
import type { CheckOptions } from '../operations/checkpoints/check-checkpoints.ts';
import type { CreateCheckpointOptions } from '../operations/checkpoints/create-checkpoint.ts';
import type { RepairOptions } from '../operations/checkpoints/repair-result.ts';
import type { CheckpointsOfImagesOptions } from '../operations/checkpoints/write-checkpoint-xml.ts';
import type { CreateFromOptions } from '../operations/create-from/create-from-result.ts';
import { IMAGE_PARTS, type InspectOptions } from '../operations/inspect-image.ts';
import type { MapOptions } from '../operations/map-allocation.ts';
import {
  ACTIONS,
  CHANGING,
  CHECKPOINT_FILES,
  CHOICE,
  CREATING,
  DOMAIN,
  DOMAIN_ADDRESS,
  FLAG,
  FUNCTION,
  GRANULARITY,
  IMAGE,
  IMAGES,
  MERGED,
  NAME,
  NAMES,
  NUMBER,
  options,
  PATH,
  PATH_OR_REFERENCE,
  QEMU,
  QEMU_ADDRESS,
  READING,
  SECONDS,
  SOURCE,
  TARGET,
  TEXT,
} from './arguments.ts';
import * as operations from './operations.ts';
import { checked, checkedPromise, oneOf, optional, someOf } from './rules.ts';

const [TO_READ, TO_CHANGE] = [options(READING), options(CHANGING)];
const TO_ADD = options<AddOptions>({ ...CHANGING, granularity: optional(GRANULARITY), disabled: FLAG });
const TO_CREATE = options<CreateFromOptions>({ ...CREATING, into: optional(PATH) });
const TO_READ_MARKS = options<DumpOptions & VerifyOptions>({ ...READING, chain: FLAG });
const TO_LIST = options<ListOptions>({ ...READING, chain: FLAG, dirtyShareParts: optional(NUMBER) });
const TO_CHECK = options<CheckOptions>({ ...READING, ...CHECKPOINT_FILES });
const TO_REPAIR = options<RepairOptions>({
  ...CHANGING,
  ...CHECKPOINT_FILES,
  names: optional(someOf(TEXT)),
  origins: optional(someOf(PATH)),
  against: optional(someOf(PATH)),
  branches: optional(someOf(PATH)),
  rebuildOrigin: FLAG,
  enableDisabled: FLAG,
});

export const addBitmaps = checkedPromise(operations.addBitmaps, IMAGE, NAMES, TO_ADD);
export const clearBitmaps = checkedPromise(operations.clearBitmaps, IMAGE, NAMES, TO_CHANGE);
export const disableBitmaps = checkedPromise(operations.disableBitmaps, IMAGE, NAMES, TO_CHANGE);
export const enableBitmaps = checkedPromise(operations.enableBitmaps, IMAGE, NAMES, TO_CHANGE);
export const removeBitmaps = checkedPromise(operations.removeBitmaps, IMAGE, NAMES, TO_CHANGE);
export const mergeBitmaps = checkedPromise(operations.mergeBitmaps, IMAGE, TARGET, MERGED, TO_CHANGE);
export const repairDirectory = checkedPromise(operations.repairDirectory, IMAGE, TO_CHANGE);
export const removeChosen = checkedPromise(
  operations.removeChosen,
  IMAGE,
  CHOICE,
  options<RemoveOptions>({ ...CHANGING, chain: FLAG }),
);
export const applyBitmapActions = checkedPromise(
  operations.applyBitmapActions,
  ['image', PATH_OR_REFERENCE],
  ['name', optional(TEXT)],
  ACTIONS,
  options<BitmapActionOptions>({
    ...CHANGING,
    granularity: optional(GRANULARITY),
    sourceImage: optional(PATH_OR_REFERENCE),
  }),
);

export const createFrom = checkedPromise(operations.createFrom, IMAGE, SOURCE, TO_CREATE);
export const measure = checkedPromise(operations.measure, IMAGE, SOURCE, TO_CREATE);

export const dumpBitmap = checkedPromise(operations.dumpBitmap, IMAGE, NAME, TO_READ_MARKS);
export const listBitmaps = checkedPromise(operations.listBitmaps, IMAGE, TO_LIST);
export const verifyBitmap = checkedPromise(
  operations.verifyBitmap,
  IMAGE,
  NAME,
  ['against', PATH],
  TO_READ_MARKS,
);
export const inspectImage = checkedPromise(
  operations.inspectImage,
  IMAGE,
  options<InspectOptions>({ ...READING, parts: optional(someOf(oneOf(...IMAGE_PARTS))) }),
);
export const mapAllocation = checked(
  operations.mapAllocation,
  IMAGE,
  options<MapOptions>({ ...READING, onImage: FUNCTION, layer: FLAG }),
);

export const checkCheckpoints = checkedPromise(operations.checkCheckpoints, IMAGES, TO_CHECK);
export const repairCheckpoints = checkedPromise(operations.repairCheckpoints, IMAGES, TO_REPAIR);
export const createCheckpoint = checkedPromise(
  operations.createCheckpoint,
  NAME,
  IMAGES,
  options<CreateCheckpointOptions>({
    ...CHANGING,
    ...CHECKPOINT_FILES,
    granularity: optional(GRANULARITY),
    parent: optional(TEXT),
    time: optional(SECONDS),
    output: optional(PATH),
  }),
);
export const carryCheckpoints = checkedPromise(
  operations.carryCheckpoints,
  ['from', PATH],
  IMAGE,
  options<CarryOptions>({ ...CHANGING, names: optional(someOf(TEXT)) }),
);
export const checkpointsOfFiles = checkedPromise(
  operations.checkpointsOfFiles,
  ['paths', someOf(PATH)],
  TO_READ,
);
export const checkpointsOfImages = checkedPromise(
  operations.checkpointsOfImages,
  IMAGES,
  options<CheckpointsOfImagesOptions>({
    ...READING,
    names: optional(someOf(TEXT)),
    parent: optional(TEXT),
    time: optional(SECONDS),
    disks: optional(someOf(TEXT)),
  }),
);

export const openQemu = checkedPromise(operations.openQemu, QEMU_ADDRESS);
export const addRunning = checkedPromise(operations.addRunning, QEMU, IMAGE, NAMES, TO_ADD);
export const clearRunning = checkedPromise(operations.clearRunning, QEMU, IMAGE, NAMES, TO_CHANGE);
export const disableRunning = checkedPromise(operations.disableRunning, QEMU, IMAGE, NAMES, TO_CHANGE);
export const enableRunning = checkedPromise(operations.enableRunning, QEMU, IMAGE, NAMES, TO_CHANGE);
export const removeRunning = checkedPromise(operations.removeRunning, QEMU, IMAGE, NAMES, TO_CHANGE);
export const mergeRunning = checkedPromise(operations.mergeRunning, QEMU, IMAGE, TARGET, MERGED, TO_CHANGE);
export const createFromRunning = checkedPromise(
  operations.createFromRunning,
  QEMU,
  IMAGE,
  SOURCE,
  options(CREATING),
);
export const dumpRunning = checkedPromise(operations.dumpRunning, QEMU, IMAGE, NAME, TO_READ_MARKS);
export const listRunning = checkedPromise(operations.listRunning, QEMU, IMAGE, TO_LIST);
export const checkRunning = checkedPromise(operations.checkRunning, QEMU, IMAGES, TO_CHECK);
export const repairRunning = checkedPromise(operations.repairRunning, QEMU, IMAGES, TO_REPAIR);

export const openDomain = checkedPromise(operations.openDomain, DOMAIN_ADDRESS);
export const imageOfDomain = checked(operations.imageOfDomain, DOMAIN, ['imageOrTarget', TEXT]);
export const checkDomain = checkedPromise(operations.checkDomain, DOMAIN_ADDRESS, TO_CHECK);
export const repairDomain = checkedPromise(operations.repairDomain, DOMAIN_ADDRESS, TO_REPAIR);
