/** Where a caller is, as the platform says. Pure. Nothing that a caller sends itself is looked at. */

/** What `regionOf` reads, for a call that is answered elsewhere. */
export type Place = { readonly colo?: unknown; readonly country?: unknown; readonly continent?: unknown };

export function placeOf({ cf }: Pick<Request, "cf">): Place {
  const { colo, country, continent } = cf ?? {};
  return { colo, country, continent };
}

/**
 * From near to far: the data centre that the request came in by (`FRA`), country (`DE`), continent (`EU`). What the
 * platform does not say is left out; locally it may say nothing.
 */
export function regionOf({ cf }: Pick<Request, "cf">): string[] {
  const { colo, country, continent } = cf ?? {};
  return [colo, country, continent].filter((place) => typeof place === "string").filter((place) => place !== "");
}
