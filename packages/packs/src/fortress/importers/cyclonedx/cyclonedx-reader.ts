import { ImportError } from "@custody/contract/importer";
import type { ImportContext, ImportRow, JsonFragment } from "@custody/contract/importer";
import { canonicalJson } from "@custody/contract/json";

import {
  asFields,
  asList,
  defined,
  instantOf,
  lastToken,
  restOf,
  setMember,
  textOf,
  textsOf,
} from "../../../json-fields.ts";
import type { Fields } from "../../../json-fields.ts";
import { Occurrences } from "../../../occurrences.ts";
import { componentName, componentOf, serviceOf, vulnerabilityOf } from "./cyclonedx-parts.ts";

/** What is read of a document; `*` is every other member of the top. */
export const CYCLONEDX_PATHS: readonly string[] = [
  "*",
  "components[]",
  "services[]",
  "dependencies[]",
  "vulnerabilities[]",
];

// Some libraries write the components before the metadata that names the target; this many fit into
// memory while they wait.
const WAITING_MAX = 20_000;
// References that differ from the component's name are remembered, so that dependencies name
// components; beyond this many they stay as the document writes them.
const REFERENCES_MAX = 500_000;

const TOP = new Set("bomFormat specVersion serialNumber version metadata".split(" "));

/** Turns the parts of a CycloneDX document into rows as they come. */
export class CycloneDxReader {
  readonly #context: ImportContext;
  readonly #top: Record<string, unknown> = {};
  readonly #occurrences = new Occurrences();
  readonly #references = new Map<string, string>();
  readonly #counts = { components: 0, services: 0, dependencies: 0, vulnerabilities: 0 };
  #waiting: JsonFragment[] = [];
  #target: string | undefined;

  constructor(context: ImportContext) {
    this.#context = context;
  }

  *take(fragment: JsonFragment): Generator<ImportRow> {
    if (fragment.path === "*") {
      const name = lastToken(fragment.pointer);
      if (Object.hasOwn(this.#counts, name)) this.#checkList(fragment);
      setMember(this.#top, name, fragment.value);
      return;
    }
    this.#waiting.push(fragment);
    if (this.#isTargetKnown() || this.#waiting.length > WAITING_MAX) {
      this.#checkOrder(fragment.pointer);
      yield* this.#release();
    }
  }

  *end(): Generator<ImportRow> {
    const format = this.#top["bomFormat"];
    const isKnown = format === "CycloneDX" || /cyclonedx\.org/.test(String(this.#top["$schema"]));
    if (!isKnown || (format !== undefined && format !== "CycloneDX")) {
      throw new ImportError(
        "malformed",
        `not CycloneDX: bomFormat is ${canonicalJson(format ?? null)}`,
        {
          at: "/bomFormat",
        },
      );
    }
    yield* this.#release();
    yield* this.#tools();
    yield { kind: "record", type: "fortress/sboms", fields: this.#document(), at: "" };
  }

  #checkList({ pointer, value }: JsonFragment): void {
    if (value === null || value === "" || asList(value).length > 0) return;
    throw new ImportError("malformed", `not CycloneDX: ${pointer} is no list`, { at: pointer });
  }

  #isTargetKnown(): boolean {
    return (
      this.#target !== undefined ||
      this.#context.labels["target"] !== undefined ||
      Object.hasOwn(this.#top, "metadata")
    );
  }

  /** Without metadata and beyond the bound the document is about itself; in sorted ones it may yet come. */
  #checkOrder(pointer: string): void {
    if (this.#isTargetKnown() || Object.hasOwn(this.#top, "specVersion")) return;
    throw new ImportError(
      "limit",
      `more than ${WAITING_MAX} components come before the metadata that names their target; ` +
        "name the target with a label, or put the metadata first",
      { at: pointer },
    );
  }

  *#release(): Generator<ImportRow> {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const fragment of waiting) yield* this.#part(fragment);
  }

  *#part({ path, pointer, value }: JsonFragment): Generator<ImportRow> {
    const item = asFields(value) ?? (value === "" ? {} : undefined);
    if (item === undefined) {
      const reason = "a part is no object";
      if (!this.#context.isLenient) {
        throw new ImportError("malformed", `not CycloneDX: ${reason} at ${pointer}`, {
          at: pointer,
        });
      }
      yield { kind: "rejected", at: pointer, reason, text: canonicalJson(value).slice(0, 80) };
    } else if (path === "components[]") yield* this.#component(item, pointer, undefined);
    else if (path === "services[]") yield* this.#service(item, pointer, undefined);
    else if (path === "dependencies[]") yield this.#dependency(item, pointer);
    else yield this.#vulnerability(item, pointer, undefined);
  }

  *#component(item: Fields, at: string, parent: string | undefined): Generator<ImportRow> {
    const fields = componentOf(item, parent);
    const name = componentName(item);
    this.#counts.components += 1;
    this.#remember(textOf(item["bom-ref"]), name);
    const key = [fields["kind"] ?? null, parent ?? null, name];
    yield this.#row("components", at, { fields: { ...fields, ...this.#kind() }, key });
    for (const [index, one] of asList(item["vulnerabilities"]).entries()) {
      const vulnerability = asFields(one);
      if (vulnerability !== undefined) {
        yield this.#vulnerability(vulnerability, `${at}/vulnerabilities/${index}`, item);
      }
    }
    for (const [index, one] of asList(item["components"]).entries()) {
      const nested = asFields(one);
      if (nested !== undefined) yield* this.#component(nested, `${at}/components/${index}`, name);
    }
  }

  *#service(item: Fields, at: string, parent: string | undefined): Generator<ImportRow> {
    const name = componentName(item);
    this.#counts.services += 1;
    this.#remember(textOf(item["bom-ref"]), name);
    yield this.#row("services", at, {
      fields: serviceOf(item, parent),
      key: [parent ?? null, name],
    });
    for (const [index, one] of asList(item["services"]).entries()) {
      const nested = asFields(one);
      if (nested !== undefined) yield* this.#service(nested, `${at}/services/${index}`, name);
    }
  }

  #dependency(item: Fields, at: string): ImportRow {
    this.#counts.dependencies += 1;
    const component = this.#named(textOf(item["ref"]) ?? "unnamed");
    const fields = defined({
      component,
      depends_on: textsOf(item["dependsOn"])?.map((ref) => this.#named(ref)),
      provides: textsOf(item["provides"])?.map((ref) => this.#named(ref)),
      details: restOf(item, new Set(["ref", "dependsOn", "provides"])),
    });
    return this.#row("component_dependencies", at, { fields, key: [component] });
  }

  #vulnerability(item: Fields, at: string, owner: Fields | undefined): ImportRow {
    this.#counts.vulnerabilities += 1;
    const fields = vulnerabilityOf(item, (reference) => this.#named(reference), owner);
    const key = ["vulnerability_id", "package_name", "package_version"].map(
      (name) => fields[name] ?? null,
    );
    return this.#row("vulnerabilities", at, { fields: { ...fields, ...this.#kind() }, key });
  }

  #row(
    type: string,
    at: string,
    { fields, key }: { readonly fields: Fields; readonly key: readonly unknown[] },
  ): ImportRow {
    const occurrence = this.#occurrences.next(type, key);
    return {
      kind: "record",
      type: `fortress/${type}`,
      at,
      fields: defined({ target: this.#targetName(), ...fields, occurrence }),
    };
  }

  #remember(reference: string | undefined, name: string): void {
    if (reference === undefined || reference === name) return;
    if (this.#references.size < REFERENCES_MAX) this.#references.set(reference, name);
  }

  #named(reference: string): string {
    return this.#references.get(reference) ?? reference;
  }

  get #metadata(): Fields {
    return asFields(this.#top["metadata"]) ?? {};
  }

  /**
   * What the document is about, without its version, so that a newer document updates it. One that does
   * not say is about itself: two unnamed documents must not overwrite each other.
   */
  #targetName(): string {
    this.#target ??=
      this.#context.labels["target"] ??
      targetName(this.#metadata["component"]) ??
      this.#documentId();
    return this.#target;
  }

  #kind(): Fields {
    const type = textOf(asFields(this.#metadata["component"])?.["type"]);
    return type === undefined
      ? {}
      : { target_kind: type === "container" ? "container_image" : type };
  }

  #documentId(): string {
    const serial = this.#top["serialNumber"];
    if (serial === undefined || serial === null || serial === "") {
      return `sha256:${this.#context.sha256}`;
    }
    return typeof serial === "string" ? serial : canonicalJson(serial);
  }

  #document(): Fields {
    const metadata = this.#metadata;
    const revision = Number(this.#top["version"] ?? Number.NaN);
    return defined({
      sbom_id: this.#documentId(),
      format: "CycloneDX",
      spec_version: textOf(this.#top["specVersion"]),
      revision: Number.isSafeInteger(revision) ? revision : undefined,
      target: this.#targetName(),
      ...this.#kind(),
      target_version: textOf(asFields(metadata["component"])?.["version"]),
      created_at: instantOf(metadata["timestamp"]),
      ...this.#counts,
      metadata: Object.keys(metadata).length === 0 ? undefined : metadata,
      details: restOf(this.#top, TOP),
    });
  }

  *#tools(): Generator<ImportRow> {
    const tools = this.#metadata["tools"];
    const listed = Array.isArray(tools) ? tools : asList(asFields(tools)?.["components"]);
    const tool = asFields(listed[0]);
    const name = textOf(tool?.["name"]);
    if (name === undefined) return;
    const version = textOf(tool?.["version"]);
    yield { kind: "tool", name, ...(version === undefined ? {} : { version }) };
  }
}

function targetName(component: unknown): string | undefined {
  const fields = asFields(component);
  const parts = [textOf(fields?.["group"]), textOf(fields?.["name"])];
  const name = parts.filter((part) => part !== undefined).join("/");
  return name === "" ? undefined : name;
}
