/**
 * Functions a tenant's SQL may call, by name in lower case: those whose answer depends on their arguments
 * alone, and a few that say the time or draw a number.
 *
 * Left out on purpose is what shows or touches the server (settings, users, files, dictionaries, plans,
 * other tables), waits, calls a service, makes text of any length of nothing, or reads the inner state of
 * an aggregate, which is bytes that the engine trusts. What a later ClickHouse adds stays out by itself.
 */
const ALLOWED_FUNCTIONS: ReadonlySet<string> = new Set(
  `
  abs accuratecast accuratecastordefault accuratecastornull acos acosh adddate adddays addhours
  addinterval addmicroseconds addmilliseconds addminutes addmonths addnanoseconds addquarters
  addseconds addtupleofintervals addweeks addyears age alphatokens and appendtrailingcharifabsent
  array array_remove array_to_string arrayall arrayauc arrayaucpr arrayavg arraybottomk
  arraycompact arrayconcat arraycount arraycumsum arraycumsumnonnegative arraydifference
  arraydistinct arraydotproduct arrayelement arrayelementornull arrayenumerate arrayenumeratedense
  arrayenumeratedenseranked arrayenumerateuniq arrayenumerateuniqranked arrayexcept arrayexists
  arrayfill arrayfilter arrayfirst arrayfirstindex arrayfirstornull arrayflatten arrayfold
  arrayintersect arrayjaccardindex arrayjoin arraylast arraylastindex arraylastornull
  arraylevenshteindistance arraylevenshteindistanceweighted arraymap arraymax arraymin
  arraynormalizedgini arraypartialreversesort arraypartialshuffle arraypartialsort arraypopback
  arraypopfront arrayprauc arrayproduct arraypushback arraypushfront arrayrandomsample arrayremove
  arrayresize arrayreverse arrayreversefill arrayreversesort arrayreversesplit arrayrocauc
  arrayrotateleft arrayrotateright arrayshiftleft arrayshiftright arrayshingles arrayshuffle
  arraysimilarity arrayslice arraysort arraysplit arraystringconcat arraysum
  arraysymmetricdifference arraytopk arraytranspose arrayunion arrayuniq arraywithconstant
  arrayzip arrayzipunaligned ascii asin asinh assumenotnull atan atan2 atanh avg2 bar base32decode
  base32encode base58decode base58encode base64decode base64encode base64urldecode base64urlencode
  basename bin bitand bitcount bithammingdistance bitmasktoarray bitmasktolist bitnot bitor
  bitpositionstoarray bitrotateleft bitrotateright bitshiftleft bitshiftright bitslice bittest
  bittestall bittestany bitxor bytehammingdistance bytesize byteslice byteswap cardinality
  casefoldutf8 casewithexpr casewithexpression casewithoutexpr casewithoutexpression cast cbrt
  ceil ceiling changeday changehour changeminute changemonth changesecond changeyear char
  char_length character_length cityhash64 clamp coalesce comparesubstrings concat concat_ws
  concatassumeinjective concatwithseparator concatwithseparatorassumeinjective conv convertcharset
  cos cosh cosinedistance countdigits countequal countmatches countmatchescaseinsensitive
  countsubstrings countsubstringscaseinsensitive countsubstringscaseinsensitiveutf8 crc32
  crc32ieee crc64 curdate current_date current_timestamp cutfragment cutipv6 cutquerystring
  cutquerystringandfragment cuttofirstsignificantsubdomain cuttofirstsignificantsubdomaincustom
  cuttofirstsignificantsubdomaincustomrfc cuttofirstsignificantsubdomaincustomwithwww
  cuttofirstsignificantsubdomaincustomwithwwwrfc cuttofirstsignificantsubdomainrfc
  cuttofirstsignificantsubdomainwithwww cuttofirstsignificantsubdomainwithwwwrfc cuturlparameter
  cutwww dameraulevenshteindistance date date_bin date_diff date_format date_trunc datediff
  datename datetime64tosnowflakeid datetimetosnowflakeid datetimetouuidv7 datetrunc day dayofmonth
  dayofweek dayofyear decodehtmlcomponent decodeurlcomponent decodeurlformcomponent
  decodexmlcomponent degrees distancecosine distancel1 distancel2 distancel2squared distancelinf
  distancelp divide dividedecimal divideornull domain domainrfc domainwithoutwww
  domainwithoutwwwrfc dotproduct e editdistance editdistanceutf8 empty encodeurlcomponent
  encodeurlformcomponent encodexmlcomponent endswith endswithcaseinsensitive
  endswithcaseinsensitiveutf8 endswithutf8 equals erf erfc exists exp exp10 exp2 extract extractall
  extractallgroups extractallgroupshorizontal extractallgroupsvertical extractgroups
  extractkeyvaluepairs extractkeyvaluepairswithescaping extracttextfromhtml extracturlparameter
  extracturlparameternames extracturlparameters factorial farmfingerprint64 farmhash64
  financialinternalrateofreturn financialinternalrateofreturnextended financialnetpresentvalue
  firstline firstnondefault firstsignificantsubdomain firstsignificantsubdomaincustom
  firstsignificantsubdomaincustomrfc firstsignificantsubdomainrfc flatten flattentuple floor
  format format_bytes formatdatetime formatdatetimeinjodasyntax formatreadabledecimalsize
  formatreadablequantity formatreadablesize formatreadabletimedelta fragment from_base64 from_days
  from_unixtime from_utc_timestamp fromdayssinceyearzero fromdayssinceyearzero32
  frommodifiedjulianday frommodifiedjuliandayornull fromunixtimestamp fromunixtimestamp64micro
  fromunixtimestamp64milli fromunixtimestamp64nano fromunixtimestamp64second
  fromunixtimestampinjodasyntax fromutctimestamp gccmurmurhash gcd generateuuidv4 generateuuidv7
  geodistance geohashdecode geohashencode greatcircledistance greater greaterorequals greatest
  halfmd5 has hasall hasalltoken hasalltokens hasany hasanytoken hasanytokens hasphrase
  hassubsequence hassubsequencecaseinsensitive hassubsequencecaseinsensitiveutf8
  hassubsequenceutf8 hassubstr hastoken hastokencaseinsensitive hastokencaseinsensitiveornull
  hastokenornull hex highlight hivehash hop hopend hopstart hour hypot identity if ifnotfinite
  ifnull ignore ilike in indexof indexofassumesorted inet6_aton inet6_ntoa inet_aton inet_ntoa
  initcap initcaputf8 instr intdiv intdivornull intdivorzero intexp10 intexp2 inthash32 inthash64
  ipv4cidrtorange ipv4numtostring ipv4numtostringclassc ipv4stringtonum ipv4stringtonumordefault
  ipv4stringtonumornull ipv4toipv6 ipv6cidrtorange ipv6numtostring ipv6stringtonum
  ipv6stringtonumordefault ipv6stringtonumornull isascii isdistinctfrom isfinite isinfinite
  isipaddressinrange isipv4string isipv6string isnan isnotdistinctfrom isnotnull isnull isnullable
  isprime isprobableprime isvalidascii isvalidjson isvalidutf8 iszeroornull jarosimilarity
  jarowinklersimilarity javahash javahashutf16le json_array_length json_exists json_query
  json_value jsonarraylength jsonextract jsonextractarrayraw jsonextractarrayrawcaseinsensitive
  jsonextractbool jsonextractboolcaseinsensitive jsonextractcaseinsensitive jsonextractfloat
  jsonextractfloatcaseinsensitive jsonextractint jsonextractintcaseinsensitive jsonextractkeys
  jsonextractkeysandvalues jsonextractkeysandvaluescaseinsensitive jsonextractkeysandvaluesraw
  jsonextractkeysandvaluesrawcaseinsensitive jsonextractkeyscaseinsensitive jsonextractraw
  jsonextractrawcaseinsensitive jsonextractstring jsonextractstringcaseinsensitive jsonextractuint
  jsonextractuintcaseinsensitive jsonhas jsonkey jsonlength jsonmergepatch jsontype
  jumpconsistenthash kafkamurmurhash keccak256 kostikconsistenthash l1distance l1norm l1normalize
  l2distance l2norm l2normalize l2squareddistance l2squarednorm last_day lcase lcm least left
  leftpad leftpadutf8 leftutf8 length lengthutf8 less lessorequals levenshteindistance
  levenshteindistanceutf8 lgamma like linfdistance linfnorm linfnormalize ln localtime
  localtimestamp locate log log10 log1p log2 lower lowerutf8 lpad lpdistance lpnorm lpnormalize
  ltrim makedate makedate32 makedatetime makedatetime64 map map_from_arrays mapadd mapall mapapply
  mapconcat mapcontains mapcontainskey mapcontainskeylike mapcontainsvalue mapcontainsvaluelike
  mapexists mapextractkeylike mapextractvaluelike mapfilter mapfromarrays mapfromstring mapkeys
  mappartialreversesort mappartialsort mappopulateseries mapreversesort mapsort mapsubtract
  mapupdate mapvalues match matchphrase materialize max2 md4 md5 metrohash64 microsecond mid
  midpoint millisecond min2 minus minute mismatches mod modornull modulo modulolegacy moduloornull
  moduloorzero month monthname multifuzzymatchallindices multifuzzymatchany
  multifuzzymatchanyindex multiif multimatchallindices multimatchany multimatchanyindex multiply
  multiplydecimal multisearchallpositions multisearchallpositionscaseinsensitive
  multisearchallpositionscaseinsensitiveutf8 multisearchallpositionsutf8 multisearchany
  multisearchanycaseinsensitive multisearchanycaseinsensitiveutf8 multisearchanyutf8
  multisearchfirstindex multisearchfirstindexcaseinsensitive
  multisearchfirstindexcaseinsensitiveutf8 multisearchfirstindexutf8 multisearchfirstposition
  multisearchfirstpositioncaseinsensitive multisearchfirstpositioncaseinsensitiveutf8
  multisearchfirstpositionutf8 murmurhash2_32 murmurhash2_64 murmurhash3_128 murmurhash3_32
  murmurhash3_64 nanosecond natural_sort_key naturalsortkey negate netloc ngramdistance
  ngramdistancecaseinsensitive ngramdistancecaseinsensitiveutf8 ngramdistanceutf8 ngramminhash
  ngramminhasharg ngramminhashargcaseinsensitive ngramminhashargcaseinsensitiveutf8
  ngramminhashargutf8 ngramminhashcaseinsensitive ngramminhashcaseinsensitiveutf8 ngramminhashutf8
  ngrams ngramsearch ngramsearchcaseinsensitive ngramsearchcaseinsensitiveutf8 ngramsearchutf8
  ngramsimhash ngramsimhashcaseinsensitive ngramsimhashcaseinsensitiveutf8 ngramsimhashutf8
  normalizel1 normalizel2 normalizelinf normalizelp normalizeutf8nfc normalizeutf8nfd
  normalizeutf8nfkc normalizeutf8nfkccasefold normalizeutf8nfkd norml1 norml2 norml2squared
  normlinf normlp not notempty notequals notilike notin notlike notnullin now now64 nowinblock
  nowinblock64 nullif nullin octet_length or overlay overlayutf8 parsedatetime
  parsedatetime32besteffort parsedatetime32besteffortornull parsedatetime32besteffortorzero
  parsedatetime64 parsedatetime64besteffort parsedatetime64besteffortornull
  parsedatetime64besteffortorzero parsedatetime64besteffortus parsedatetime64besteffortusornull
  parsedatetime64besteffortusorzero parsedatetime64injodasyntax parsedatetime64injodasyntaxornull
  parsedatetime64injodasyntaxorzero parsedatetime64ornull parsedatetime64orzero
  parsedatetimebesteffort parsedatetimebesteffortornull parsedatetimebesteffortorzero
  parsedatetimebesteffortus parsedatetimebesteffortusornull parsedatetimebesteffortusorzero
  parsedatetimeinjodasyntax parsedatetimeinjodasyntaxornull parsedatetimeinjodasyntaxorzero
  parsedatetimeornull parsedatetimeorzero parsereadablesize parsereadablesizeornull parsetimedelta
  path pathfull pi plus pmod pmodornull pointinpolygon port portrfc position
  positioncaseinsensitive positioncaseinsensitiveutf8 positionutf8 positive_modulo
  positive_modulo_or_null positivemodulo positivemoduloornull pow power prettyprintjson printf
  proportionsztest protocol quarter querystring querystringandfragment radians rand rand32 rand64
  randnormal randuniform range regexp_extract regexp_instr regexp_matches regexp_replace
  regexp_substr regexpextract regexpinstr regexpposition regexpquotemeta reinterpretasdate
  reinterpretasdatetime reinterpretasfixedstring reinterpretasfloat32 reinterpretasfloat64
  reinterpretasint128 reinterpretasint16 reinterpretasint256 reinterpretasint32 reinterpretasint64
  reinterpretasint8 reinterpretasstring reinterpretasuint128 reinterpretasuint16
  reinterpretasuint256 reinterpretasuint32 reinterpretasuint64 reinterpretasuint8
  reinterpretasuuid removeaccentsutf8 removediacriticsutf8 repeat replace replaceall replaceone
  replaceregexpall replaceregexpone replicate reverse reversebyseparator reverseutf8 right
  rightpad rightpadutf8 rightutf8 ripemd160 round roundage roundbankers rounddown roundduration
  roundtoexp2 rownumberinallblocks rpad rtrim scalarproduct second sha1 sha224 sha256 sha384
  sha512 sha512_256 sigmoid sign simplejsonextractbool simplejsonextractfloat simplejsonextractint
  simplejsonextractraw simplejsonextractstring simplejsonextractuint simplejsonhas sin sinh
  siphash128 siphash128keyed siphash128reference siphash128referencekeyed siphash64 siphash64keyed
  soundex space sparsegrams sparsegramshashes sparsegramshashesutf8 sparsegramsutf8 splitbyalpha
  splitbychar splitbynonalpha splitbyregexp splitbystring splitbywhitespace sqr sqrt startswith
  startswithcaseinsensitive startswithcaseinsensitiveutf8 startswithutf8 str_to_date str_to_map
  stringbytesentropy stringbytesuniq stringjaccardindex stringjaccardindexutf8 subdate substr
  substring substring_index substringindex substringindexutf8 substringutf8 subtractdays
  subtracthours subtractinterval subtractmicroseconds subtractmilliseconds subtractminutes
  subtractmonths subtractnanoseconds subtractquarters subtractseconds subtracttupleofintervals
  subtractweeks subtractyears tan tanh tgamma time_bucket timediff timeslot timeslots timestamp
  timestamp_diff timestampdiff timezoneof timezoneoffset to_base64 to_days to_unixtime
  to_utc_timestamp tobfloat16 tobfloat16ornull tobfloat16orzero tobool todate todate32
  todate32ordefault todate32ornull todate32orzero todateordefault todateornull todateorzero
  todatetime todatetime32 todatetime64 todatetime64ordefault todatetime64ornull todatetime64orzero
  todatetimeordefault todatetimeornull todatetimeorzero today todayofmonth todayofweek todayofyear
  todaysinmonth todayssinceyearzero todecimal128 todecimal128ordefault todecimal128ornull
  todecimal128orzero todecimal256 todecimal256ordefault todecimal256ornull todecimal256orzero
  todecimal32 todecimal32ordefault todecimal32ornull todecimal32orzero todecimal64
  todecimal64ordefault todecimal64ornull todecimal64orzero todecimalstring tofixedstring tofloat32
  tofloat32ordefault tofloat32ornull tofloat32orzero tofloat64 tofloat64ordefault tofloat64ornull
  tofloat64orzero tohour toint128 toint128ordefault toint128ornull toint128orzero toint16
  toint16ordefault toint16ornull toint16orzero toint256 toint256ordefault toint256ornull
  toint256orzero toint32 toint32ordefault toint32ornull toint32orzero toint64 toint64ordefault
  toint64ornull toint64orzero toint8 toint8ordefault toint8ornull toint8orzero tointerval
  tointervalday tointervalhour tointervalmicrosecond tointervalmillisecond tointervalminute
  tointervalmonth tointervalnanosecond tointervalquarter tointervalsecond tointervalweek
  tointervalyear toipv4 toipv4ordefault toipv4ornull toipv4orzero toipv6 toipv6ordefault
  toipv6ornull toipv6orzero toisoweek toisoyear tojsonstring tokens tokensforlikepattern
  tolastdayofmonth tolastdayofweek tolowcardinality tomicrosecond tomillisecond tominute
  tomodifiedjulianday tomodifiedjuliandayornull tomonday tomonth tomonthnumsinceepoch tonanosecond
  tonullable topleveldomain topleveldomainrfc toquarter torelativedaynum torelativehournum
  torelativeminutenum torelativemonthnum torelativequarternum torelativesecondnum
  torelativeweeknum torelativeyearnum tosecond tostartofday tostartoffifteenminutes
  tostartoffiveminute tostartoffiveminutes tostartofhour tostartofinterval tostartofisoyear
  tostartofmicrosecond tostartofmillisecond tostartofminute tostartofmonth tostartofnanosecond
  tostartofquarter tostartofsecond tostartoftenminutes tostartofweek tostartofyear tostring
  tostringcuttozero totime totime64 totime64ornull totime64orzero totimeornull totimeorzero
  totimewithfixeddate totimezone totypename touint128 touint128ordefault touint128ornull
  touint128orzero touint16 touint16ordefault touint16ornull touint16orzero touint256
  touint256ordefault touint256ornull touint256orzero touint32 touint32ordefault touint32ornull
  touint32orzero touint64 touint64ordefault touint64ornull touint64orzero touint8 touint8ordefault
  touint8ornull touint8orzero tounixtimestamp tounixtimestamp64micro tounixtimestamp64milli
  tounixtimestamp64nano tounixtimestamp64second toutctimestamp touuid touuidordefault touuidornull
  touuidorzero tovalidutf8 toweek toyear toyearnumsinceepoch toyearweek toyyyymm toyyyymmdd
  toyyyymmddhhmmss transform translate translateutf8 trim trimboth trimleft trimright trunc
  truncate trybase32decode trybase58decode trybase64decode trybase64urldecode tumble tumbleend
  tumblestart tuple tupleconcat tupledivide tupledividebynumber tupleelement tuplehammingdistance
  tupleintdiv tupleintdivbynumber tupleintdivorzero tupleintdivorzerobynumber tupleminus
  tuplemodulo tuplemodulobynumber tuplemultiply tuplemultiplybynumber tuplenames tuplenegate
  tupleplus tuplepositivemodulobynumber tupletonamevaluepairs ucase unbin unhex unnest upper
  upperutf8 urlhash urlhierarchy urlpathhierarchy utc_timestamp utctimestamp uuidnumtostring
  uuidstringtonum uuidtonum uuidv7todatetime variantelement vectordifference vectorsum
  visiblewidth visitparamextractbool visitparamextractfloat visitparamextractint
  visitparamextractraw visitparamextractstring visitparamextractuint visitparamhas week
  width_bucket widthbucket windowid wordshingleminhash wordshingleminhasharg
  wordshingleminhashargcaseinsensitive wordshingleminhashargcaseinsensitiveutf8
  wordshingleminhashargutf8 wordshingleminhashcaseinsensitive
  wordshingleminhashcaseinsensitiveutf8 wordshingleminhashutf8 wordshinglesimhash
  wordshinglesimhashcaseinsensitive wordshinglesimhashcaseinsensitiveutf8 wordshinglesimhashutf8
  wyhash64 xor xxh3 xxh3_128 xxhash32 xxhash64 xxhash64spark yandexconsistenthash year yearweek
  yesterday yyyymmddhhmmsstodatetime yyyymmddhhmmsstodatetime64 yyyymmddtodate yyyymmddtodate32
`
    .trim()
    .split(/\s+/),
);

const AGGREGATES: ReadonlySet<string> = new Set(
  `
  analysisofvariance anova any any_respect_nulls any_value any_value_respect_nulls anyheavy
  anylast anylast_respect_nulls anylastrespectnulls anyrespectnulls anyvaluerespectnulls
  approx_top_count approx_top_k approx_top_sum argandmax argandmin argmax argmin array_agg avg
  avgweighted bit_and bit_or bit_xor boundingratio contingency corr corrmatrix corrstable count
  countdistinct covar_pop covar_samp covarpop covarpopmatrix covarpopstable covarsamp
  covarsampmatrix covarsampstable cramersv cramersvbiascorrected cume_dist deltasum
  deltasumtimestamp dense_rank denserank entropy exponentialmovingaverage
  exponentialtimedecayedavg exponentialtimedecayedcount exponentialtimedecayedmax
  exponentialtimedecayedsum first_value first_value_respect_nulls firstvaluerespectnulls
  group_concat grouparray grouparrayinsertat grouparrayintersect grouparraylast
  grouparraymovingavg grouparraymovingsum grouparraysample grouparraysorted groupbitand groupbitor
  groupbitxor groupconcat groupuniqarray histogram intervallengthsum kolmogorovsmirnovtest kurtpop
  kurtsamp lag laginframe largesttrianglethreebuckets last_value last_value_respect_nulls
  lastvaluerespectnulls lead leadinframe lttb mannwhitneyutest max max_by maxintersections
  maxintersectionsposition maxmappedarrays meanztest median medianbfloat16 medianbfloat16weighted
  mediandd mediandeterministic medianexact medianexacthigh medianexactlow medianexactweighted
  medianexactweightedinterpolated mediangk medianinterpolatedweighted mediantdigest
  mediantdigestweighted mediantiming mediantimingweighted min min_by minmappedarrays
  nonnegativederivative nth_value ntile percent_rank percentrank quantile quantilebfloat16
  quantilebfloat16weighted quantiledd quantiledeterministic quantileexact quantileexactexclusive
  quantileexacthigh quantileexactinclusive quantileexactlow quantileexactweighted
  quantileexactweightedinterpolated quantilegk quantileinterpolatedweighted
  quantileprometheushistogram quantiles quantilesbfloat16 quantilesbfloat16weighted quantilesdd
  quantilesdeterministic quantilesexact quantilesexactexclusive quantilesexacthigh
  quantilesexactinclusive quantilesexactlow quantilesexactweighted
  quantilesexactweightedinterpolated quantilesgk quantilesinterpolatedweighted
  quantilesprometheushistogram quantilestdigest quantilestdigestweighted quantilestiming
  quantilestimingweighted quantiletdigest quantiletdigestweighted quantiletiming
  quantiletimingweighted rank rankcorr retention row_number sequencecount sequencematch
  sequencematchevents sequencenextnode simplelinearregression singlevalueornull skewpop skewsamp
  sparkbar std stddev stddev_pop stddev_samp stddevpop stddevpopstable stddevsamp stddevsampstable
  string_agg studentttest studentttestonesample sum sumcount sumkahan summapfiltered
  summappedarrays summapwithoverflow sumwithoverflow theilsu topk topkweighted uniq uniqcombined
  uniqcombined64 uniqexact uniqhll12 uniqupto var_pop var_samp varpop varpopstable varsamp
  varsampstable welchttest windowfunnel
`
    .trim()
    .split(/\s+/),
);

// What may be added to an aggregate's name; States and what merges them may not
// (clickhouse.com/docs/sql-reference/aggregate-functions/combinators).
const COMBINATORS = /(?:if|array|map|distinct|ordefault|ornull|foreach|resample|argmin|argmax)$/;

/** True where a tenant's SQL may call the function. */
export function isAllowedFunction(name: string): boolean {
  let rest = name.toLowerCase();
  if (ALLOWED_FUNCTIONS.has(rest)) return true;
  while (!AGGREGATES.has(rest)) {
    const shorter = rest.replace(COMBINATORS, "");
    if (shorter === rest) return false;
    rest = shorter;
  }
  return true;
}

/** Functions whose second argument may be a table. */
export const MEMBERSHIP_FUNCTIONS: ReadonlySet<string> = new Set([
  "in",
  "notin",
  "nullin",
  "notnullin",
  "globalin",
  "globalnotin",
  "globalnullin",
  "globalnotnullin",
]);

/** Table functions a tenant's SQL may call: they make rows of their arguments alone. */
export const ALLOWED_TABLE_FUNCTIONS: ReadonlySet<string> = new Set([
  "generate_series",
  "generateseries",
  "numbers",
  "null",
  "sqlstandardvalues",
  "values",
  "zeros",
]);
