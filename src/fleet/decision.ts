/** One choice of a host, for the admin's page: what was decided, and why. Holds no content and no caller. */
export type Decision = {
  readonly atMs: number;
  /** The ticket's: the request's id and the number of the try. */
  readonly id: string;
  readonly model: string;
  /** Null when nobody was chosen. */
  readonly host: string | null;
  readonly why: string;
};
