/** The package brings no types: the path of its program, and what it is. */
declare module "workerd" {
  const workerd: { readonly default: string; readonly compatibilityDate: string; readonly version: string };
  export default workerd;
}
