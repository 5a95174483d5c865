/** A result as the program prints it with --json, with its remedies as text. */
export type AsJson<T> = T extends readonly (infer Element)[]
  ? AsJson<Element>[]
  : T extends object
    ? {
        [Key in keyof T as Key extends 'remedy' ? 'hint' : Key]: Key extends 'remedy' | 'advice'
          ? string | (null & T[Key])
          : AsJson<T[Key]>;
      }
    : T;
