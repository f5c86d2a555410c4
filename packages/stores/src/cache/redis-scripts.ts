import { redisScript } from "../drivers/redis.ts";
import type { RedisScript } from "../drivers/redis.ts";

// ARGV[1] is the caller's time, or less than 0 for the server's own: with several processes there is
// one clock that they agree on. ARGV[2] is how long what is over is kept beyond its end.
const NOW = `
local now, keep = tonumber(ARGV[1]), tonumber(ARGV[2])
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function whole(number) return string.format('%.0f', number) end
`;

/** Adds ARGV[3] to a counter whose life of ARGV[4] begins with its first add; nothing beyond 2^53. */
export const COUNT: RedisScript = redisScript(`${NOW}
local held = redis.call('HMGET', KEYS[1], 'value', 'ends')
local value, ends = tonumber(held[1]), tonumber(held[2])
if not ends or ends <= now then value, ends = 0, now + tonumber(ARGV[4]) end
value = value + tonumber(ARGV[3])
if math.abs(value) > 9007199254740991 then return false end
redis.call('HSET', KEYS[1], 'value', whole(value), 'ends', whole(ends))
redis.call('PEXPIRE', KEYS[1], whole(ends - now + keep))
-- As text, as the library's reader of numbers is off by one near 2^53.
return whole(value)
`);

/** Asks for one of ARGV[3] uses in ARGV[4] milliseconds: {allowed, remaining, retry after}. */
export const ACQUIRE: RedisScript = redisScript(`${NOW}
local limit, window = tonumber(ARGV[3]), tonumber(ARGV[4])
local oldest = redis.call('LINDEX', KEYS[1], 0)
while oldest and tonumber(oldest) <= now - window do
  redis.call('LPOP', KEYS[1])
  oldest = redis.call('LINDEX', KEYS[1], 0)
end
local used = redis.call('LLEN', KEYS[1])
if used < limit then
  redis.call('RPUSH', KEYS[1], whole(now))
  redis.call('PEXPIRE', KEYS[1], whole(window + keep))
  return {1, limit - used - 1, 0}
end
if limit == 0 then return {0, 0, window} end
-- When this use is out of the window, fewer than the limit are left in it.
local blocking = redis.call('LINDEX', KEYS[1], used - limit)
return {0, 0, tonumber(blocking) + window - now}
`);

/**
 * Takes a lock for ARGV[3]: its token, or 0 when it is held. Tokens follow the clock, in microseconds,
 * so that they grow also when the key was lost.
 */
export const LOCK: RedisScript = redisScript(`${NOW}
local held = redis.call('HMGET', KEYS[1], 'token', 'ends')
local token, ends = tonumber(held[1]), tonumber(held[2])
if ends and ends > now then return 0 end
token = math.max((token or 0) + 1, now * 1000)
redis.call('HSET', KEYS[1], 'token', whole(token), 'ends', whole(now + tonumber(ARGV[3])))
redis.call('PEXPIRE', KEYS[1], whole(tonumber(ARGV[3]) + keep))
return token
`);

/** Lets the lock of token ARGV[4] live for ARGV[3] from now, with 0 ends it: 1, or 0 when it is lost. */
export const RENEW: RedisScript = redisScript(`${NOW}
local held = redis.call('HMGET', KEYS[1], 'token', 'ends')
local ends = tonumber(held[2])
if held[1] ~= ARGV[4] or not ends or ends <= now then return 0 end
local life = tonumber(ARGV[3])
redis.call('HSET', KEYS[1], 'ends', life > 0 and whole(now + life) or '0')
redis.call('PEXPIRE', KEYS[1], whole(life + keep))
return 1
`);
