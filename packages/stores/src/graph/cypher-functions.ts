import { wordSet } from "./cypher-tokens.ts";

/**
 * The functions that a user's statement may call on Neo4j, in lower case: those of Cypher 5 that look
 * at nothing but their arguments. Left out are the ones that reach elsewhere (procedures' functions,
 * `graph.byName`, `genai.…`), that tell how large the server is (`id`, `elementId`), that show all of a
 * node's properties (`properties`), and that make memory out of nothing (see `guardCypher`).
 */
export const CYPHER_FUNCTIONS: ReadonlySet<string> = wordSet(`
  all any none single exists isempty reduce
  avg collect count max min percentilecont percentiledisc stdev stdevp sum
  coalesce head last length size startnode endnode type nullif valuetype char_length character_length
  tointeger tointegerornull tofloat tofloatornull toboolean tobooleanornull tostring tostringornull
  tointegerlist tofloatlist tobooleanlist tostringlist
  label labels keys nodes relationships rels reverse tail
  abs ceil ceiling floor isnan rand round sign e exp log ln log10 sqrt
  acos asin atan atan2 cos cot degrees haversin pi radians sin tan
  left right ltrim rtrim btrim trim replace split substring tolower lower toupper upper normalize
  date datetime localdatetime localtime time duration timestamp
  date.truncate datetime.truncate localdatetime.truncate localtime.truncate time.truncate
  datetime.fromepoch datetime.fromepochmillis
  duration.between duration.inmonths duration.indays duration.inseconds
  point point.distance point.withinbbox vector.similarity.cosine vector.similarity.euclidean`);

/** Names that LadybugDB has for the same. */
export const FUNCTION_NAMES: Readonly<Record<string, string>> = { rels: "relationships" };

/** Words that begin or divide clauses: none of them is taken as a name. */
export const CLAUSE_WORDS: ReadonlySet<string> = wordSet(`
  match optional unwind with return where order skip limit offset union
  create merge set delete detach nodetach remove drop call yield load using use show foreach finish
  insert`);

/** Words after which a value follows, so that a bracket after them is no call and no index. */
export const OPERATOR_WORDS: ReadonlySet<string> = wordSet(`
  and or xor not in is contains starts ends case when then else as distinct by where on typed`);
