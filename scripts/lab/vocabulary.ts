// The words a lab engine can say. Every entry is at most eight code points and holds no white space (but the newline
// itself), so that a text made of them splits back into exactly the tokens it was made of: see tokens.ts.

const PLAIN = `the a of to and in is it that for on with as at by from or an be this which one two three all can will has
had was are were been not but if so no more most some any each other than then when where how what who why there here
time day year way man world life hand part child eye woman place work week case point company number group problem fact
road edge host stream token answer prompt cache ledger queue lease tenant caller gateway tunnel worker breaker slot
model engine batch prefix layer weight memory kernel vector matrix tensor signal window budget limit event record
make take come see know get give find think tell become show leave feel put bring begin keep hold write stand hear let
mean set meet run pay sit speak lie lead read grow lose fall send build stay cut reach kill raise pass sell decide
good new first last long great little own old right big high small large next early young public bad same able
quick brown fox jumps over lazy dog sphinx black quartz judge my vow pack box five dozen jugs river stone bridge
north south east west winter summer spring autumn morning evening silver golden copper iron cedar maple willow birch
up down out about into after before under between through during without against along among around behind beyond
quietly slowly often never always perhaps indeed rather almost already still even only just also very too well`;

/** What trips careless readers: multi-byte UTF-8, surrogate pairs, quotes, backslashes, SSE and JSON look-alikes. */
const TRICKY = `é über naïve café señor Ærø 汉字 東京 日本語 Привет мир שלום नमस्ते 한국어 🙂 🚀 👩‍🚀 🇪🇺 € ½ “quoted” "plain"
it's C:\\dir a\\nb \\u0041 \\" {"k":1} [DONE] data: : id:7 <b> &amp; </s> %20 end. stop, yes; no? wow! (x) 42 3.14 -1
null true`;

/** Index = the word's number in the vocabulary; "\n" stands among the words, all others are written with a space before. */
export const WORDS: readonly string[] = [...new Set([...PLAIN.split(/\s+/), ...TRICKY.split(/\s+/), "\n"])];

/** The inverse of WORDS. */
export const WORD_NUMBERS: ReadonlyMap<string, number> = new Map(WORDS.map((word, index) => [word, index]));
