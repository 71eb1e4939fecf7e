/**
 * The one error that is meant for a person: a sentence that says what is wrong and what to do. It is printed without
 * a stack trace. Anything else that is thrown is a bug or a crash and is shown as such.
 */
export class Refusal extends Error {
  override readonly name = "Refusal";
  /** 2: the command line or the configuration is wrong. 1: the command is right, but cannot be carried out now. */
  readonly exitCode: 1 | 2;

  constructor(exitCode: 1 | 2, sentence: string) {
    super(sentence);
    this.exitCode = exitCode;
  }
}

/** What a command line is refused with that Node's parser does not take. @param help behind its sentence, as it stands */
export function flagRefusal(error: unknown, help = ""): Refusal {
  // Node's sentence is followed by advice for programmers.
  const [sentence] = (error instanceof Error ? error.message : String(error)).split(/\.(?:\s|$)/);
  return new Refusal(2, `${sentence}.${help}`);
}
