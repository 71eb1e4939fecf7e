/**
 * From the catalog to what one caller may spend on one model: the tier's limits, another set of them for models that the
 * tier names, and caps of the API key on top. Pure.
 */
import type { Catalog } from "#src/catalog/schema.ts";
import type { Caps, Tier } from "#src/catalog/tier.ts";
import type { Allowance } from "./account.ts";
import type { Slot } from "./leases.ts";
import type { TenantCaps } from "./tenant-share.ts";
import type { Cost, Limit } from "./windows.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** A budget's month, whatever the calendar says. */
const MONTH_MS = 30 * DAY_MS;
const MICROS_PER_DOLLAR = 1_000_000;

/** The windows there are, in the order of the headers: the shortest of a unit stands for it in OpenAI's. */
const WINDOWS: readonly {
  name: string;
  unit: keyof Cost;
  windowMs: number;
  max: (caps: Caps) => number | undefined;
}[] = [
  { name: "rpm", unit: "requests", windowMs: MINUTE_MS, max: ({ rpm }) => rpm },
  { name: "rph", unit: "requests", windowMs: HOUR_MS, max: ({ rph }) => rph },
  { name: "rpd", unit: "requests", windowMs: DAY_MS, max: ({ rpd }) => rpd },
  { name: "tpm", unit: "tokens", windowMs: MINUTE_MS, max: ({ tpm }) => tpm },
  { name: "tpd", unit: "tokens", windowMs: DAY_MS, max: ({ tpd }) => tpd },
  { name: "budget-day", unit: "micros", windowMs: DAY_MS, max: ({ budget }) => micros(budget?.perDay) },
  { name: "budget-month", unit: "micros", windowMs: MONTH_MS, max: ({ budget }) => micros(budget?.perMonth) },
];

function micros(dollars: number | undefined): number | undefined {
  return dollars === undefined ? undefined : Math.round(dollars * MICROS_PER_DOLLAR);
}

/** Whose allowance it is. */
export type Spender = { readonly tier: Tier; readonly keyId: string | null };

/**
 * What a caller may spend.
 *
 * @param modelId null for what holds for models that the tier does not name
 */
export function allowanceOf(
  catalog: Pick<Catalog, "keys">,
  { tier, keyId }: Spender,
  modelId: string | null,
): Allowance {
  const ofModel = modelId !== null && Object.hasOwn(tier.models, modelId) ? tier.models[modelId] : undefined;
  const ofKey = keyId !== null && Object.hasOwn(catalog.keys, keyId) ? catalog.keys[keyId] : undefined;
  const limits = WINDOWS.flatMap((window) => {
    const override = ofModel === undefined ? undefined : window.max(ofModel);
    const own =
      override === undefined ? limitOf(window, tier, "") : limitOf(window, ofModel ?? {}, `/model/${modelId}`);
    return [...own, ...limitOf(window, ofKey ?? {}, `/key/${keyId}`)];
  });
  const own: Slot =
    ofModel?.concurrency === undefined
      ? { name: "concurrency", max: tier.concurrency }
      : { name: `concurrency/model/${modelId}`, max: ofModel.concurrency };
  const slots =
    ofKey?.concurrency === undefined ? [own] : [own, { name: `concurrency/key/${keyId}`, max: ofKey.concurrency }];
  return { limits, slots };
}

/**
 * The part of an allowance that work may use which nobody waits for: the caller itself finds the other half of its
 * requests and tokens, and of what it may have in flight. What it may spend in money it may spend on either.
 *
 * @param cost of the request: one that is larger than half goes when the rest of its window is empty
 */
export function halfOf({ limits, slots }: Allowance, cost: Cost): Allowance {
  const half = (max: number, atLeast: number): number => Math.min(max, Math.max(atLeast, Math.ceil(max / 2)));
  return {
    limits: limits.map((limit) =>
      limit.unit === "micros" ? limit : { ...limit, max: half(limit.max, cost[limit.unit]) },
    ),
    slots: slots.map((slot) => ({ ...slot, max: half(slot.max, 1) })),
  };
}

/** The caps that a caller shares with the other users of its tenant; null where the catalog has none. */
export function tenantCapsOf(
  catalog: Pick<Catalog, "tenants">,
  tenant: { readonly id: string; readonly name: string } | null,
): TenantCaps | null {
  if (tenant === null || !Object.hasOwn(catalog.tenants, tenant.name)) return null;
  const caps = catalog.tenants[tenant.name] ?? {};
  return { id: tenant.id, limits: WINDOWS.flatMap((window) => limitOf(window, caps, "/tenant")) };
}

function limitOf({ name, unit, windowMs, max }: (typeof WINDOWS)[number], caps: Caps, suffix: string): Limit[] {
  const most = max(caps);
  return most === undefined ? [] : [{ name: `${name}${suffix}`, unit, max: most, windowMs }];
}
