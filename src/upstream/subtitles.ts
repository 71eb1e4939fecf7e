/** Subtitles from the segments of a transcription, for engines that tell segments and write no subtitles. Pure. */

export type Segment = { readonly start: number; readonly end: number; readonly text: string };

/**
 * SubRip (`srt`) or WebVTT (W3C, 2019), each of them with hours always and milliseconds.
 *
 * @param segments in seconds from the recording's beginning
 */
export function subtitles(format: "srt" | "vtt", segments: readonly Segment[]): string {
  const cues = segments.map(({ start, end, text }, at) => {
    const times = `${clock(start, format)} --> ${clock(end, format)}`;
    // An empty line would end the cue, and an arrow in its words is taken for its times.
    const words = text
      .trim()
      .replace(/\s*\n\s*/g, "\n")
      .replaceAll("-->", "->");
    return `${format === "srt" ? `${at + 1}\n` : ""}${times}\n${words}\n\n`;
  });
  return `${format === "vtt" ? "WEBVTT\n\n" : ""}${cues.join("")}`;
}

function clock(seconds: number, format: "srt" | "vtt"): string {
  const ms = Math.round(seconds * 1_000);
  const two = (value: number): string => String(Math.floor(value)).padStart(2, "0");
  const rest = String(ms % 1_000).padStart(3, "0");
  return `${two(ms / 3_600_000)}:${two((ms / 60_000) % 60)}:${two((ms / 1_000) % 60)}${format === "srt" ? "," : "."}${rest}`;
}
