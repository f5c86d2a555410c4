import { ImportError } from "@custody/contract/importer";
import type { JsonFragment } from "@custody/contract/importer";
import sax from "sax";
import type { QualifiedAttribute, QualifiedTag, SAXParser, Tag } from "sax";

import type { Fields } from "../../../json-fields.ts";

const NAMESPACE = "http://cyclonedx.org/schema/bom/";
const DEPTH_MAX = 256;
// One component with its evidence and licence texts; the bound keeps one element from filling memory.
const ELEMENT_CHARACTERS_MAX = 64 * 1024 * 1024;

/** Elements that only hold a list, as the schemas of CycloneDX 1.0 to 1.7 have them. */
const LISTS = new Set(
  (
    "components services dependencies vulnerabilities hashes licenses properties externalReferences " +
    "ratings cwes affects advisories references versions authors notes commits patches ancestors " +
    "descendants variants occurrences identity copyright compositions annotations endpoints " +
    "lifecycles tools recommendations provides"
  ).split(" "),
);
/** Lists whose elements come out one by one. */
const STREAMED = new Set(["components", "services", "dependencies", "vulnerabilities"]);

interface Element {
  readonly name: string;
  readonly attributes: Record<string, string>;
  readonly children: Element[];
  text: string;
}

/**
 * Reads a CycloneDX XML document as the parts of its JSON form, one component at a time: the root's
 * attributes first, then list elements and other members in document order.
 *
 * External entities are never loaded, and a document type is refused: it could only define entities.
 */
export async function* readXml(text: AsyncIterable<string>): AsyncGenerator<JsonFragment> {
  const reader = new XmlReader();
  for await (const chunk of text) yield* reader.feed(chunk);
  yield* reader.end();
}

class XmlReader {
  readonly #sax: SAXParser = sax.parser(true, { xmlns: true, position: true });
  readonly #path: string[] = [];
  readonly #open: Element[] = [];
  readonly #counts = new Map<string, number>();
  #found: JsonFragment[] = [];
  #characters = 0;
  #isRootSeen = false;

  constructor() {
    this.#sax.onerror = (cause) =>
      this.#refuse(cause.message.split("\n", 1)[0] ?? "damaged", cause);
    this.#sax.ondoctype = () => this.#refuse("a document type is not allowed");
    this.#sax.onopentag = (tag) => this.#openTag(tag);
    this.#sax.onclosetag = () => this.#closeTag();
    this.#sax.ontext = (text) => this.#addText(text);
    this.#sax.oncdata = (text) => this.#addText(text);
  }

  feed(chunk: string): readonly JsonFragment[] {
    this.#found = [];
    this.#sax.write(chunk);
    return this.#found;
  }

  end(): readonly JsonFragment[] {
    this.#found = [];
    this.#sax.close();
    if (!this.#isRootSeen) this.#refuse("there is no element in it");
    return this.#found;
  }

  #openTag(tag: Tag | QualifiedTag): void {
    const name = localName(tag.name);
    if (this.#path.length >= DEPTH_MAX) {
      throw new ImportError("limit", `XML nests deeper than ${DEPTH_MAX} levels`, {
        at: this.#place(),
      });
    }
    this.#path.push(name);
    if (this.#path.length === 1) return this.#root(tag);
    const isList = this.#path.length === 2 && STREAMED.has(name);
    if (isList) return;
    const element: Element = { name, attributes: attributesOf(tag), children: [], text: "" };
    this.#open.at(-1)?.children.push(element);
    this.#open.push(element);
  }

  #root(tag: Tag | QualifiedTag): void {
    const uri = "uri" in tag ? tag.uri : "";
    if (localName(tag.name) !== "bom" || !uri.startsWith(NAMESPACE)) {
      this.#refuse(`the root is <${tag.name}>, not a <bom> of ${NAMESPACE}`);
    }
    this.#isRootSeen = true;
    this.#give("bomFormat", "CycloneDX");
    this.#give("specVersion", uri.slice(NAMESPACE.length));
    for (const [name, value] of Object.entries(attributesOf(tag))) this.#give(name, value);
  }

  #closeTag(): void {
    const depth = this.#path.length;
    this.#path.pop();
    const list = this.#path[1];
    const isListEnd = depth === 2 && this.#open.length === 0;
    if (depth < 2 || isListEnd) return;
    const element = this.#open.pop();
    if (element === undefined || this.#open.length > 0) return;
    this.#characters = 0;
    if (depth === 2) return this.#give(element.name, toJson(element));
    const count = this.#counts.get(list ?? "") ?? 0;
    this.#counts.set(list ?? "", count + 1);
    this.#found.push({
      path: `${list}[]`,
      pointer: `/${list}/${count}`,
      value: toJson(element),
    });
  }

  #give(name: string, value: unknown): void {
    this.#found.push({ path: "*", pointer: `/${name}`, value });
  }

  #addText(text: string): void {
    const element = this.#open.at(-1);
    if (element === undefined) return;
    this.#characters += text.length;
    if (this.#characters > ELEMENT_CHARACTERS_MAX) {
      throw new ImportError(
        "limit",
        `an element holds more than ${ELEMENT_CHARACTERS_MAX} characters`,
        {
          at: this.#place(),
        },
      );
    }
    element.text += text;
  }

  #place(): string {
    return `line ${this.#sax.line + 1}, column ${this.#sax.column + 1}`;
  }

  #refuse(reason: string, cause?: Error): never {
    const at = this.#place();
    throw new ImportError("malformed", `not CycloneDX XML: ${reason} at ${at}`, { at, cause });
  }
}

function localName(name: string): string {
  return name.slice(name.indexOf(":") + 1);
}

function attributesOf(tag: Tag | QualifiedTag): Record<string, string> {
  const found = Object.entries<string | QualifiedAttribute>(tag.attributes);
  return Object.fromEntries(
    found
      .filter(([name]) => name !== "xmlns" && !/^(?:xmlns|xsi):/.test(name))
      .map(([name, one]) => [localName(name), typeof one === "string" ? one : one.value]),
  );
}

/** An element in the form that CycloneDX JSON would give it. */
function toJson(element: Element): unknown {
  const { name, attributes, children } = element;
  const text = element.text.trim();
  if (name === "dependency" || name === "provides") return dependency(element);
  const isList = LISTS.has(name) && Object.keys(attributes).length === 0 && text === "";
  if (isList && isPlainList(element)) return listOf(element);
  if (children.length === 0 && Object.keys(attributes).length === 0) return text;
  const content = text === "" ? {} : { [name === "property" ? "value" : "content"]: text };
  return { ...attributes, ...Object.fromEntries(membersOf(children)), ...content };
}

/** `<tools>` holds a list of `<tool>` to 1.4, and from 1.5 on may hold components and services. */
function isPlainList({ name, children }: Element): boolean {
  return (
    name === "licenses" ||
    children.every((child) => child.name === children[0]?.name && !LISTS.has(child.name))
  );
}

function listOf({ name, children }: Element): unknown[] {
  // JSON tells a licence from an expression by the member's name.
  if (name === "licenses") return children.map((child) => ({ [child.name]: toJson(child) }));
  return children.map(toJson);
}

/** A member that comes again becomes a list. */
function membersOf(children: readonly Element[]): [string, unknown][] {
  const members = new Map<string, unknown[]>();
  for (const child of children) {
    const values = members.get(child.name);
    if (values === undefined) members.set(child.name, [toJson(child)]);
    else values.push(toJson(child));
  }
  return [...members].map(([name, values]) => [name, values.length === 1 ? values[0] : values]);
}

/** XML nests the needed components; JSON names them. */
function dependency({ attributes, children }: Element): Fields {
  const refs = (name: string): string[] =>
    children.filter((child) => child.name === name).map((child) => child.attributes["ref"] ?? "");
  const provides = refs("provides");
  return {
    ...attributes,
    dependsOn: refs("dependency"),
    ...(provides.length === 0 ? {} : { provides }),
  };
}
