/** The lists of findings in a result, by the name Trivy gives them (pkg/types/report.go). */
export const FINDING_LISTS = [
  "Vulnerabilities",
  "Misconfigurations",
  "Secrets",
  "Licenses",
  "Packages",
  "CustomResources",
  "ModifiedFindings",
  "ExperimentalModifiedFindings",
] as const;

export type FindingList = (typeof FINDING_LISTS)[number];

/** Where results lie: in a report, in the array of Trivy before 0.20, below a cluster's resources. */
const RESULT_PLACES = [
  "Results[]",
  "[]",
  "Resources[].Results[]",
  "Findings[].Results[]",
  "Vulnerabilities[].Results[]",
  "Misconfigurations[].Results[]",
] as const;

/** What a value of the document is, and where its result and resource end in its pointer. */
export type TrivyPart =
  | { readonly kind: "document" }
  | { readonly kind: "top" }
  | { readonly kind: "element" }
  /** Something where a result or a resource should be. */
  | { readonly kind: "odd" }
  | { readonly kind: "resource"; readonly resourceDepth: number }
  | { readonly kind: "result"; readonly resultDepth: number; readonly resourceDepth: number }
  | {
      readonly kind: "finding";
      readonly list: FindingList;
      readonly resultDepth: number;
      readonly resourceDepth: number;
    };

/**
 * Every path that is read of a Trivy document, and what lies there. Findings are read one by one, so
 * that no result need fit into memory; `*[]` reads the lists of the operator's custom resources.
 */
export const TRIVY_PATHS: ReadonlyMap<string, TrivyPart> = new Map([
  ...entries([
    ["", { kind: "document" }],
    ["*", { kind: "top" }],
    ["*[]", { kind: "element" }],
  ]),
  ...RESULT_PLACES.flatMap((place) => {
    const resultDepth = place === "[]" ? 1 : place === "Results[]" ? 2 : 4;
    const resourceDepth = resultDepth === 4 ? 2 : 0;
    const depths = { resultDepth, resourceDepth };
    const resource = place.slice(0, place.indexOf(".") + 1);
    return entries([
      [place, { kind: "odd" }],
      [`${place}.*`, { kind: "result", ...depths }],
      ...(resource === ""
        ? []
        : entries([
            [resource.slice(0, -1), { kind: "odd" }],
            [`${resource}*`, { kind: "resource", resourceDepth }],
          ])),
      ...FINDING_LISTS.map(
        (list) => [`${place}.${list}[]`, { kind: "finding", list, ...depths }] as const,
      ),
    ]);
  }),
]);

function entries(
  pairs: readonly (readonly [string, TrivyPart])[],
): readonly (readonly [string, TrivyPart])[] {
  return pairs;
}
