/**
 * Text of the man page that does not come from the command tree.
 */

export const INTRODUCTION: readonly string[] = [
  "Incremental backups of virtual machines depend on dirty bitmaps inside qcow2 images: one for each libvirt checkpoint, in every image of a disk's backing chain since that checkpoint. An overlay that was made outside QEMU has no bitmaps, and the next backup has to be a full one. But everything that was written since is in the overlay, so its allocation map is the missing bitmap. This tool reads the tables of an image and stores that bitmap. QEMU and libvirt accept it as their own.",
  'It works on images at rest and needs no QEMU. Images are named by a path to a regular file or a block device, or as file:... or json:{...} with driver qcow2 or raw over file or host_device. Bitmaps can be stored in qcow2 images of version 3.',
  'In every command that reads a bitmap, #ALLOCATED stands for what the image itself holds. Quote it in a shell.',
];

export const EXIT_STATUS: readonly (readonly [code: string, meaning: string])[] = [
  ['0', 'Done; or checked and healthy.'],
  [
    '1',
    'Failed: an I/O error, no space, no such file, a bug. The old state is on disk, or the complete new state and perhaps leaked clusters; the message says which.',
  ],
  ['2', 'The command line is wrong. Nothing was written.'],
  [
    '3',
    'A check found problems, and nothing was written; or the work is done, but something else is not in order.',
  ],
  ['4', 'Refused: the state of the image or chain does not allow this safely. Nothing was written.'],
  ['5', 'The image is in use by another process. Nothing was written.'],
  [
    '129, 130, 143',
    'Interrupted by SIGHUP, SIGINT or SIGTERM: before the first write, or once the change was complete.',
  ],
];

export const FILES: readonly (readonly [name: string, text: string])[] = [
  [
    '.bitmap-tool-PID-....tmp',
    'A new image (create-from --into) or XML file (checkpoint-create --output) is written under such a name in the same folder. It gets its own name when it is complete, and never replaces an existing file. Only a killed process leaves a temporary file behind: remove it.',
  ],
  [
    'picture.svg',
    'A picture is first written to a temporary file in the same folder. An existing file is replaced only if it is an SVG picture; otherwise the command refuses.',
  ],
];

export const LOCKS: readonly string[] = [
  "The locks are QEMU's own: open file description locks (fcntl) on bytes of the image file that stand for permissions. They are taken on the image and on the backing images that the result depends on, and released when the command ends for any reason. An image of a running guest is refused, and QEMU refuses an image that is being written.",
  'With --force-share (-U) an image in use is read, and the result may be stale. On platforms and file systems without such locks a command refuses unless --no-lock is given. Nothing then prevents a guest from being started in between.',
];

export const WHEN_RIGHT: readonly string[] = [
  'A bitmap from an allocation map marks everything that was written since the overlay was created. This is true if nobody wrote to or exchanged the images below since then. No tool can see that.',
];

export const SEE_ALSO: readonly string[] = ['qemu-img', 'virsh', 'nbdinfo'];
