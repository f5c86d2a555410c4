import { z } from "zod";

/**
 * A part of a record that is kept as the tool wrote it: an object of any members.
 *
 * Its value passes through untouched; a record schema would copy it and drop a member `__proto__`.
 */
export const freeForm: z.ZodUnknown = z
  .unknown()
  .refine(
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
    "an object is expected",
  );
