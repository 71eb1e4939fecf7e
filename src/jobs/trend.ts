/** A straight line through daily figures, and when it reaches a bound. Says so where the days do not tell. Pure. */

export type Trend = {
  /** Days that the line is drawn through. */
  readonly days: number;
  /** Growth per day. */
  readonly perDay: number;
  /** The line's height on the last day. */
  readonly level: number;
  /** Standard error of the growth; null below three days. */
  readonly perDayError: number | null;
};

/** Why no day of exhaustion is given. */
export type Unknown =
  | "too_few_days"
  | "too_little_host_state"
  | "no_clear_growth"
  /** More than a year ahead: so far no line through four weeks is good for. */
  | "beyond_a_year";
export type Exhaustion = { readonly inDays: number } | { readonly unknown: Unknown };

/** A week holds each weekday once; less than that and the weekend is a trend. */
const FEWEST_DAYS = 7;
/** Growth counts from two standard errors: about 95 % that there is one. */
const CLEAR_ERRORS = 2;
const FARTHEST_DAYS = 365;

/**
 * The line of least squares.
 *
 * @param values one per day, oldest first
 * @returns null below two days
 */
export function trendOf(values: readonly number[]): Trend | null {
  const days = values.length;
  if (days < 2) return null;
  const middle = (days - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / days;
  let spread = 0;
  let together = 0;
  values.forEach((value, day) => {
    spread += (day - middle) ** 2;
    together += (day - middle) * (value - mean);
  });
  const perDay = together / spread;
  const residue = values.reduce((sum, value, day) => sum + (value - mean - perDay * (day - middle)) ** 2, 0);
  const perDayError = days < 3 ? null : Math.sqrt(residue / (days - 2) / spread);
  return { days, perDay, level: mean + perDay * middle, perDayError };
}

/**
 * When a trend reaches a bound.
 *
 * @param bound null when it is not known
 * @returns whole days after the trend's last day; 0 when the bound is reached already
 */
export function exhaustionOf(trend: Trend | null, bound: number | null): Exhaustion {
  if (trend === null || trend.days < FEWEST_DAYS || trend.perDayError === null) return { unknown: "too_few_days" };
  if (bound === null) return { unknown: "too_little_host_state" };
  if (trend.level >= bound) return { inDays: 0 };
  if (trend.perDay <= CLEAR_ERRORS * trend.perDayError) return { unknown: "no_clear_growth" };
  const inDays = Math.ceil((bound - trend.level) / trend.perDay);
  return inDays > FARTHEST_DAYS ? { unknown: "beyond_a_year" } : { inDays };
}
