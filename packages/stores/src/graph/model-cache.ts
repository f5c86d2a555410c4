import type { GraphPlacement } from "@custody/contract/placement";

import type { Collection } from "../projected-store.ts";
import { graphModel } from "./graph-model.ts";
import type { GraphModel } from "./graph-model.ts";

const MODELS_MAX = 64;

/** Models of collections by their placements, as reading one takes longer than most calls. */
export class ModelCache {
  readonly #models = new Map<string, GraphModel>();

  /** The same object for the same placements. @throws StoreError `refused` as `graphModel`. */
  modelOf({ placements }: Collection<GraphPlacement>): GraphModel {
    const text = JSON.stringify(placements);
    let model = this.#models.get(text);
    if (model === undefined) {
      model = graphModel(placements);
      if (this.#models.size >= MODELS_MAX) this.#models.clear();
      this.#models.set(text, model);
    }
    return model;
  }
}
