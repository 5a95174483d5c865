/**
 * Replaces node:child_process where the program starts no other programs. Loading the real module would take
 * longer than `list`.
 */
export {};
