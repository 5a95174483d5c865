/**
 * The messages on a connection to an NBD server of QEMU, to read one metadata context of one export.
 */
import { view } from '../bytes/struct.ts';
import type { FailedError } from '../errors.ts';
import * as nbd from './nbd-messages.ts';
import { type NbdStream, nbdFailure } from './nbd-stream.ts';

/** Above QEMU's NBD_MAX_BLOCK_STATUS_EXTENTS, which is 1 MiB of descriptors. */
const MAX_PAYLOAD_BYTES = 2 * 2 ** 20;

/**
 * The handshake up to NBD_OPT_GO.
 *
 * @returns the ID of the context
 * @throws FailedError when QEMU does not answer, or does not offer the context
 */
export async function negotiate(stream: NbdStream, exportName: string, context: string): Promise<number> {
  const { initMagic, optsMagic, flags } = nbd.greeting.read(await stream.take(nbd.greeting.sizeBytes));
  const isFixedNewstyle = (flags & nbd.FLAG_FIXED_NEWSTYLE) !== 0;
  if (initMagic !== nbd.INIT_MAGIC || optsMagic !== nbd.OPTS_MAGIC || !isFixedNewstyle) throw unexpected();
  stream.send(uint32(nbd.FLAG_FIXED_NEWSTYLE));

  const name = string(exportName);
  await ask(stream, nbd.OPT.STRUCTURED_REPLY);
  const selected = await ask(stream, nbd.OPT.SET_META_CONTEXT, name, uint32(1), string(context));
  if (selected === undefined) throw nbdFailure(`it does not offer ${context}`);
  await ask(stream, nbd.OPT.GO, name, NO_INFORMATION);
  return nbd.contextId.read(selected).id;
}

/** A list of length 0 of requests for information about the export. */
const NO_INFORMATION = Buffer.alloc(2);

/** Sends an option and waits for its acknowledgement. Returns the metadata context that came before it. */
async function ask(stream: NbdStream, option: number, ...data: Buffer[]): Promise<Buffer | undefined> {
  const length = data.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const header = Buffer.alloc(nbd.option.sizeBytes);
  nbd.option.write(header, { magic: nbd.OPTS_MAGIC, option, length });
  stream.send(header, ...data);
  let context: Buffer | undefined;
  for (;;) {
    const reply = nbd.optionReply.read(await stream.take(nbd.optionReply.sizeBytes));
    if (reply.magic !== nbd.REP_MAGIC || reply.option !== option) throw unexpected();
    const payload = await takePayload(stream, reply.length);
    switch (reply.type) {
      case nbd.REP.ACK:
        return context;
      case nbd.REP.META_CONTEXT:
        if (payload.length < nbd.contextId.sizeBytes) throw unexpected();
        context = payload;
        break;
      case nbd.REP.INFO:
        break;
      default:
        throw nbdFailure(`it refuses option ${option}: ${payload.toString() || `reply type ${reply.type}`}`);
    }
  }
}

/**
 * The status of the disk from `offset` on. QEMU may describe less than the requested length.
 *
 * @returns descriptors of consecutive extents
 */
export async function blockStatus(
  stream: NbdStream,
  id: number,
  offset: number,
  length: number,
): Promise<DataView> {
  stream.send(blockStatusRequest(offset, length));
  let descriptors: DataView | undefined;
  for (;;) {
    const chunk = nbd.replyChunk.read(await stream.take(nbd.replyChunk.sizeBytes));
    if (chunk.magic !== nbd.STRUCTURED_REPLY_MAGIC || chunk.cookie !== COOKIE) throw unexpected();
    const payload = await takePayload(stream, chunk.length);
    if ((chunk.type & nbd.REPLY_TYPE_ERROR) !== 0) {
      const message = payload.subarray(nbd.errorPayload.sizeBytes).toString();
      throw nbdFailure(message || 'an error without a message');
    }
    if (chunk.type === nbd.REPLY_TYPE.BLOCK_STATUS) descriptors = descriptorsOf(payload, id);
    else if (chunk.type !== nbd.REPLY_TYPE.NONE) throw unexpected();
    if ((chunk.flags & nbd.REPLY_FLAG_DONE) !== 0) break;
  }
  if (descriptors === undefined) throw unexpected();
  return descriptors;
}

function descriptorsOf(payload: Buffer, id: number): DataView {
  const bytes = payload.subarray(nbd.contextId.sizeBytes);
  if (bytes.length === 0 || bytes.length % nbd.descriptor.sizeBytes !== 0) throw unexpected();
  if (nbd.contextId.read(payload).id !== id) throw unexpected();
  return view(bytes);
}

async function takePayload(stream: NbdStream, length: number): Promise<Buffer> {
  if (length > MAX_PAYLOAD_BYTES) throw unexpected();
  return stream.take(length);
}

/** One request at a time is in flight, so all requests can have the same cookie. */
const COOKIE = 0n;

function blockStatusRequest(offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(nbd.request.sizeBytes);
  const type = nbd.CMD_BLOCK_STATUS;
  nbd.request.write(bytes, { magic: nbd.REQUEST_MAGIC, flags: 0, type, cookie: COOKIE, offset, length });
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A name or a query, with its length in front. */
function string(text: string): Buffer {
  return Buffer.concat([uint32(Buffer.byteLength(text)), Buffer.from(text)]);
}

function unexpected(): FailedError {
  return nbdFailure('its answer does not follow the protocol');
}
