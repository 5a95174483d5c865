/**
 * Re-exports Execa, so that the build puts it into a file of its own. Only operations on guests by name and
 * on a running QEMU start other programs.
 */
export { execa } from 'execa';
