/** Shows where a run is: in a terminal by one line that is written over, elsewhere by a line for each step. */

export type Shown = {
  readonly print: (line: string) => void;
  readonly progress: (line: string) => void;
  /** Takes the last line of progress away. */
  readonly end: () => void;
};

const CLEAR = "\r\x1b[2K";

export function progressShown(out: Pick<NodeJS.WriteStream, "isTTY" | "columns" | "write">): Shown {
  const clear = (): void => {
    if (out.isTTY) out.write(CLEAR);
  };
  return {
    print: (line) => {
      clear();
      out.write(`${line}\n`);
    },
    // A line that is longer than the terminal could not be written over.
    progress: (line) => out.write(out.isTTY ? `${CLEAR}${line.slice(0, out.columns - 1)}` : `${line}\n`),
    end: clear,
  };
}
