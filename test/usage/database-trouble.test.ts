import { DatabaseError } from "pg";
import { describe, expect, test } from "vitest";
import { plainCause, type Trouble, troubleOf } from "#src/usage/database-trouble.ts";

function answered(code: string): Error {
  return Object.assign(new DatabaseError("the value 'secret' is wrong", 1, "error"), { code });
}
const failed = (code: string): Error => Object.assign(new Error("connect failed"), { code });

describe("what helps", () => {
  test.each<{ name: string; cause: unknown; trouble: Trouble }>([
    { name: "a number out of range", cause: answered("22003"), trouble: "row" },
    { name: "a text that is no UUID", cause: answered("22P02"), trouble: "row" },
    { name: "a check", cause: Object.assign(answered("23514"), { constraint: "positive" }), trouble: "row" },
    { name: "a partition's bound", cause: answered("23514"), trouble: "outage" },
    { name: "transactions that may not take so long", cause: answered("25P04"), trouble: "outage" },
    { name: "null", cause: answered("23502"), trouble: "row" },
    { name: "too long for an index", cause: answered("54000"), trouble: "row" },
    { name: "a connection that failed", cause: answered("08006"), trouble: "outage" },
    { name: "a serialization failure", cause: answered("40001"), trouble: "outage" },
    { name: "a deadlock", cause: answered("40P01"), trouble: "outage" },
    { name: "too many connections", cause: answered("53300"), trouble: "outage" },
    { name: "a full disk", cause: answered("53100"), trouble: "outage" },
    { name: "a statement that took too long", cause: answered("57014"), trouble: "outage" },
    { name: "a shutdown", cause: answered("57P01"), trouble: "outage" },
    { name: "a start", cause: answered("57P03"), trouble: "outage" },
    { name: "an I/O error", cause: answered("58030"), trouble: "outage" },
    { name: "a lock that was not to be had", cause: answered("55P03"), trouble: "outage" },
    { name: "a standby", cause: answered("25006"), trouble: "outage" },
    { name: "nobody listens", cause: failed("ECONNREFUSED"), trouble: "outage" },
    { name: "a broken pipe", cause: failed("EPIPE"), trouble: "outage" },
    { name: "cut", cause: new Error("Connection terminated unexpectedly"), trouble: "outage" },
    { name: "no answer", cause: new Error("Query read timeout"), trouble: "outage" },
    { name: "no error at all", cause: "?", trouble: "outage" },
    { name: "a missing table", cause: answered("42P01"), trouble: "other" },
    { name: "a missing right", cause: answered("42501"), trouble: "other" },
    { name: "a fault of the database", cause: answered("XX000"), trouble: "other" },
  ])("$name: $trouble", ({ cause, trouble }) => {
    expect(troubleOf(cause)).toBe(trouble);
  });
});

test("a log line does not quote the row", () => {
  expect(plainCause(answered("22003"))).toBe("SQLSTATE 22003");
  expect(plainCause(failed("ECONNREFUSED"))).toContain("connect failed");
});
