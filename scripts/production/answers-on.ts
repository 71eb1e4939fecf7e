/** Whether something answers at a URL, whatever it says. For `Supervisor.ready`. @throws what `fetch` throws */
export async function answersOn(url: string): Promise<true> {
  const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
  await response.body?.cancel();
  return true;
}
