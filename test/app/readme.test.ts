import { expect, test } from "vitest";
import { ROUTES } from "#src/app.ts";
import readme from "../../README.md?raw";

test("the README's table of endpoints is the table of routes", () => {
  const rows = readme.split("\n").filter((line) => /^\| `(GET|POST|PUT|PATCH|DELETE) /.test(line));
  const documented = rows.flatMap((row) =>
    [...(row.split("|")[1] ?? "").matchAll(/`(\w+) ([^`]+)`/g)].map(([, method, path]) => `${method} ${path}`),
  );
  const routed = ROUTES.map(({ method, path }) => `${method} ${path.replace(/:parameter(\{[^}]*\})?/, "{id}")}`);
  expect(documented.sort()).toEqual(routed.sort());
});
