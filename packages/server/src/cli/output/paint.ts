import { styleText } from "node:util";

/** What a piece of text is, from which its colour follows. */
export type Style = "plain" | "title" | "faint" | "name" | "good" | "bad" | "warning" | "hit";

const FORMATS = {
  title: "bold",
  faint: "dim",
  name: "cyan",
  good: "green",
  bad: "red",
  warning: "yellow",
  hit: ["bold", "yellow"],
} as const;

/** Colours text, or leaves it as it is. */
export type Paint = (style: Style, text: string) => string;

/** Makes a painter; without colour it changes nothing. */
export function createPaint(hasColor: boolean): Paint {
  if (!hasColor) return (_style, text) => text;
  return (style, text) => {
    if (style === "plain" || text === "") return text;
    const format = FORMATS[style];
    return styleText(typeof format === "string" ? format : [...format], text, {
      validateStream: false,
    });
  };
}
