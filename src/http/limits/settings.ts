export { defaultLimits, type Limits } from '../../limits.ts';

/** How deep brackets may nest in a document: far beyond any operation within MAX_DEPTH, far from what overflows the parser's stack. */
export const NESTING_MAX = 64;

/** How many fields a document may select once its fragments are written out. Bounds what validation and execution go through. */
export const SELECTIONS_MAX = 10_000;

/** How often one field may be selected in the same place. Validation compares each pair of them. */
export const DUPLICATES_MAX = 100;

/** The window of the rate limits, in milliseconds. */
export const WINDOW_MS = 60_000;
