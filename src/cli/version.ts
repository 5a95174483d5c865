/**
 * The version of the package. The build inserts it.
 */
declare const BITMAP_TOOL_VERSION: string;

export const version: string = BITMAP_TOOL_VERSION;
