/**
 * The messages of the NBD protocol that reading a metadata context needs (doc/proto.md of the NBD project).
 * The names are QEMU's, without the prefix.
 */
import { struct } from '../bytes/struct.ts';

export const INIT_MAGIC = 0x4e42444d41474943n;
export const OPTS_MAGIC = 0x49484156454f5054n;
export const REP_MAGIC = 0x0003e889045565a9n;
export const REQUEST_MAGIC = 0x25609513;
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

export const FLAG_FIXED_NEWSTYLE = 1;

export const OPT = { GO: 7, STRUCTURED_REPLY: 8, SET_META_CONTEXT: 10 } as const;
export const REP = { ACK: 1, INFO: 3, META_CONTEXT: 4 } as const;
export const CMD_BLOCK_STATUS = 7;
export const REPLY_TYPE = { NONE: 0, BLOCK_STATUS: 5 } as const;
export const REPLY_FLAG_DONE = 1;

/** Set in the type of a chunk that reports an error. */
export const REPLY_TYPE_ERROR = 2 ** 15;

/** Begins the handshake of the server. */
export const greeting = struct({ initMagic: [0, 'u64'], optsMagic: [8, 'u64'], flags: [16, 'u16'] });

export const option = struct({ magic: [0, 'u64'], option: [8, 'u32'], length: [12, 'u32'] });

export const optionReply = struct({
  magic: [0, 'u64'],
  option: [8, 'u32'],
  type: [12, 'u32'],
  length: [16, 'u32'],
});

export const request = struct({
  magic: [0, 'u32'],
  flags: [4, 'u16'],
  type: [6, 'u16'],
  cookie: [8, 'u64'],
  offset: [16, 'offset'],
  length: [24, 'u32'],
});

/** Begins each chunk of a structured reply. */
export const replyChunk = struct({
  magic: [0, 'u32'],
  flags: [4, 'u16'],
  type: [6, 'u16'],
  cookie: [8, 'u64'],
  length: [16, 'u32'],
});

/** Begins the payload of an error chunk. The message follows. */
export const errorPayload = struct({ error: [0, 'u32'], messageLength: [4, 'u16'] });

/** The payload of a block status chunk: the ID of the context, then descriptors. */
export const contextId = struct({ id: [0, 'u32'] });
export const descriptor = struct({ length: [0, 'u32'], statusFlags: [4, 'u32'] });
