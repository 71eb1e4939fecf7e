/** A file's text, as the bundler hands it to a test. */
declare module "*?raw" {
  const text: string;
  export default text;
}
