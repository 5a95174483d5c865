/**
 * Types that mark the origin of a value. They have no cost at run time.
 */

declare const brand: unique symbol;

/**
 * A `T` with the mark `Name`, which only its checker or maker sets. The compiler rejects any other value of
 * the same shape.
 */
export type Brand<T, Name extends string> = T & { readonly [brand]: { readonly [By in Name]: true } };
