/** Ways that tests inside workerd have to a real host: `test/hosts.setup.ts` starts what stands at their ends. */

export type Ways = {
  /** A host of the lab by itself, as base URL like all of these. */
  readonly lab: string;
  /** One with a key that the gateway does not have. */
  readonly locked: string;
  /** A door before the lab's host, which lets the gateway in. */
  readonly door: string;
  /** A door behind which no engine listens. */
  readonly orphan: string;
  /** Doors that refuse the gateway in Access's three manners. */
  readonly login: string;
  readonly forbidden: string;
  readonly unauthorized: string;
};

declare module "vitest" {
  interface ProvidedContext {
    ways: Ways;
    /** Whoever shows it is let in. */
    serviceToken: { readonly id: string; readonly secret: string };
  }
}
