/** Whether what is asked must stay on the operator's own premises: by its model, its API key, or the request itself. */
import type { Model } from "#src/catalog/schema.ts";
import type { KnownCall } from "./call.ts";
import { wrongField } from "./fields.ts";

export const RESIDENCY_HEADER = "x-causeway-residency";

/**
 * What the request itself says.
 *
 * @throws Problem `invalid_value` where it says anything but `on-prem`
 */
export function residencyWish({ headers }: Pick<Request, "headers">): "on-prem" | null {
  const wish = headers.get(RESIDENCY_HEADER);
  if (wish === null || wish === "on-prem") return wish;
  throw wrongField(RESIDENCY_HEADER, 'only "on-prem" can be asked for; leave the header out otherwise');
}

/**
 * Whether no host in the cloud may be asked. Kept answers are no matter: they are at the gateway already.
 *
 * @throws Problem `invalid_value` where the request says anything but `on-prem`: a typo must not let data out. So ask
 * before anything is spent, also where the model or the key has decided already.
 */
export function mustStayHome(
  {
    request,
    catalog,
    principal,
  }: Pick<KnownCall, "request" | "principal"> & {
    readonly catalog: Pick<KnownCall["catalog"], "keys">;
  },
  model: Pick<Model, "residency">,
): boolean {
  const wish = residencyWish(request);
  const { keyId } = principal;
  const ofKey = keyId !== null && Object.hasOwn(catalog.keys, keyId) ? catalog.keys[keyId]?.residency : undefined;
  return [wish, model.residency, ofKey].includes("on-prem");
}
