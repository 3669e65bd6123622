/**
 * A number of any size and precision: digits × 10^exponent, without leading or trailing zeros in the digits. Used to compare only numbers
 * that no double is equal to: large int64s and most Decimal128s.
 */
export interface Decimal {
  digits: string;
  exponent: number;
}

/** Parses the magnitude of a finite number in the text format of `Long` and `Decimal128`. */
export function parseDecimal(text: string): Decimal {
  const [, whole, fraction = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:E([+-]?\d+))?$/.exec(text)!;
  const padded = `${whole}${fraction}`.replace(/^0+/, '');
  const digits = padded.replace(/0+$/, '');
  return { digits, exponent: Number(exponent) - fraction.length + padded.length - digits.length };
}

/** Compares a magnitude exactly with that of a double. */
export function compareWithDouble({ digits, exponent }: Decimal, double: number): number {
  if (digits === '') return double === 0 ? 0 : -1;
  if (!Number.isFinite(double)) return -1;
  const bits = new BigUint64Array(new Float64Array([Math.abs(double)]).buffer)[0]!;
  const biased = bits >> 52n;
  // IEEE 754: a double is 53 bits times a power of two. Subnormal numbers have no implicit leading bit.
  const mantissa = (bits & ((1n << 52n) - 1n)) | (biased ? 1n << 52n : 0n);
  const power = Number(biased || 1n) - 1075;
  const left = BigInt(digits) * 10n ** BigInt(Math.max(exponent, 0)) * 2n ** BigInt(Math.max(-power, 0));
  const right = mantissa * 2n ** BigInt(Math.max(power, 0)) * 10n ** BigInt(Math.max(-exponent, 0));
  return left < right ? -1 : Number(left > right);
}
