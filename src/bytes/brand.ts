/**
 * Types that mark where a value comes from; they cost nothing at run time.
 */

declare const brand: unique symbol;

/**
 * A `T` that only its checker or maker can call `Name`: any other value of the same shape
 * does not compile in its place.
 */
export type Brand<T, Name extends string> = T & { readonly [brand]: { readonly [By in Name]: true } };
