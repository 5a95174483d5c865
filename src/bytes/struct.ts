/**
 * Big-endian on-disk structures, each declared once as a table of `field: [byte, type]`.
 */

const FIELD_BYTES = { u8: 1, u16: 2, u32: 4, u64: 8, offset: 8 } as const;

/** `u64` is exact (bigint); `offset` is a u64 that must be a safe integer (number). */
type FieldType = keyof typeof FIELD_BYTES;
type FieldTable = Readonly<Record<string, readonly [byte: number, type: FieldType]>>;

type StructValue<Table extends FieldTable> = {
  -readonly [Field in keyof Table]: Table[Field][1] extends 'u64' ? bigint : number;
};

export interface Struct<Table extends FieldTable> {
  readonly sizeBytes: number;
  /** The first byte of `field` within the struct. */
  byteOf(field: keyof Table): number;
  /** Reads the struct at `at`. The caller has checked that `bytes` holds `sizeBytes` bytes there. */
  read(bytes: Uint8Array, at?: number): StructValue<Table>;
  write(bytes: Uint8Array, value: StructValue<Table>, at?: number): void;
  /** Every field as stored, exact and unchecked, in the order of the struct. */
  stored(bytes: Uint8Array, at?: number): [field: keyof Table & string, value: bigint][];
  /** The stored form of a single field. */
  encodeField<Field extends keyof Table>(field: Field, value: StructValue<Table>[Field]): Uint8Array;
}

/** An `offset` field above Number.MAX_SAFE_INTEGER. No file that this tool can open is that long. */
export class OffsetTooLargeError extends Error {
  constructor(field: string, value: bigint) {
    super(`${field} is 0x${value.toString(16)}, beyond 2^53`);
  }
}

export function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Declares a struct. Throws if the table has a gap or an overlap, so a wrong number fails when the module
 * loads.
 */
export function struct<const Table extends FieldTable>(table: Table): Struct<Table> {
  const fields = Object.entries(table);
  let end = 0;
  for (const [name, [byte, type]] of fields) {
    if (byte !== end) throw new RangeError(`struct: ${name} is at byte ${byte}, expected ${end}`);
    end += FIELD_BYTES[type];
  }
  const sizeBytes = end;

  return {
    sizeBytes,
    byteOf: (field) => table[field]![0],
    read(bytes, at = 0) {
      const data = view(bytes);
      const value: Record<string, number | bigint> = {};
      for (const [name, [byte, type]] of fields) value[name] = readField(data, at + byte, type, name);
      return value as StructValue<Table>;
    },
    write(bytes, value, at = 0) {
      const data = view(bytes);
      for (const [name, [byte, type]] of fields) writeField(data, at + byte, type, value[name]!);
    },
    stored(bytes, at = 0) {
      const data = view(bytes);
      return fields.map(([name, [byte, type]]) => [name, storedField(data, at + byte, type)]);
    },
    encodeField(field, value) {
      const type = table[field]![1];
      const bytes = new Uint8Array(FIELD_BYTES[type]);
      writeField(view(bytes), 0, type, value);
      return bytes;
    },
  };
}

function storedField(data: DataView, at: number, type: FieldType): bigint {
  return BigInt(readField(data, at, type === 'offset' ? 'u64' : type, ''));
}

function readField(data: DataView, at: number, type: FieldType, name: string): number | bigint {
  switch (type) {
    case 'u8':
      return data.getUint8(at);
    case 'u16':
      return data.getUint16(at);
    case 'u32':
      return data.getUint32(at);
    case 'u64':
      return data.getBigUint64(at);
    case 'offset':
      return checkedOffset(data.getBigUint64(at), name);
  }
}

function writeField(data: DataView, at: number, type: FieldType, value: number | bigint): void {
  switch (type) {
    case 'u8':
      data.setUint8(at, Number(value));
      return;
    case 'u16':
      data.setUint16(at, Number(value));
      return;
    case 'u32':
      data.setUint32(at, Number(value));
      return;
    case 'u64':
    case 'offset':
      data.setBigUint64(at, BigInt(value));
      return;
  }
}

function checkedOffset(value: bigint, name: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new OffsetTooLargeError(name, value);
  return Number(value);
}
