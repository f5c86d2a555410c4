type Given<Members> = {
  readonly [Name in keyof Members]?: Exclude<Members[Name], undefined>;
};

/** Leaves out the members that are `undefined`, as optional members of the library are absent, not undefined. */
export function given<Members extends object>(members: Members): Given<Members> {
  const present = Object.entries(members).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present) as Given<Members>;
}
