/**
 * KV in memory, filled when it starts, as workerd's KV binding asks for it: `GET`, `PUT` and `DELETE` of `/KEY`.
 * Plain JavaScript, because it belongs to workerd, whose types the scripts do not have.
 */
import initial from "kv.json";

const values = new Map(Object.entries(initial));

export default {
  async fetch(request) {
    const key = decodeURIComponent(new URL(request.url).pathname.slice(1));
    if (request.method === "PUT") values.set(key, await request.text());
    else if (request.method === "DELETE") values.delete(key);
    else if (key === "") return Response.json({ keys: [], list_complete: true });
    const value = request.method === "GET" ? values.get(key) : "";
    return value === undefined ? new Response(null, { status: 404 }) : new Response(value);
  },
};
