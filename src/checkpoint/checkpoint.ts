/**
 * A checkpoint as libvirt's XML describes it.
 */

export interface Checkpoint {
  readonly name: string;
  readonly parent: string | undefined;
  /** Seconds since 1970. */
  readonly creationTime: number;
  readonly description: string | undefined;
  /** UUID of the domain, if the XML has it. */
  readonly guest: string | undefined;
  readonly disks: readonly CheckpointDisk[];
}

export interface CheckpointDisk {
  /** As the checkpoint names it: the target, or the path of the source. */
  readonly name: string;
  /** `no`: the checkpoint does not cover this disk. */
  readonly checkpoint: 'bitmap' | 'no';
  /** The name of its bitmap; libvirt goes by that of the checkpoint, but where it deletes the bitmap. */
  readonly bitmap: string;
  /** For example vda, if the XML has it. */
  readonly target: string | undefined;
  /** Path of the image that was active when the checkpoint was made, if the XML has it. */
  readonly source: string | undefined;
  /**
   * The images below `source` that day, from the top down, each with its path if it has one; undefined where the checkpoint
   * does not tell them all.
   */
  readonly backing: readonly (string | undefined)[] | undefined;
}
