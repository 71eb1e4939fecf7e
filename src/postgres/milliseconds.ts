/** Times in SQL as the code has them: milliseconds since the epoch. Pieces of statements; pure. */

/** The time of a parameter. */
export const at = (parameter: string): string => `to_timestamp(${parameter}::double precision / 1000)`;

/** A column's time as a number. */
export const ms = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::double precision`;
