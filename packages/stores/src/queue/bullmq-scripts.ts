import { redisScript } from "../drivers/redis.ts";
import type { RedisScript } from "../drivers/redis.ts";

// BullMQ's structures (its commands/*.lua), with what our promises need beside them in the same step:
// leases that end at an instant, attempts that are counted when they begin, fencing tokens.
// ARGV[1] is the caller's time, or less than 0 for the server's own, on which all processes agree.
const NOW = `
local now = tonumber(ARGV[1])
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function whole(number) return string.format('%.0f', number) end
local function queueAt(base)
  local queue = { base = base, leases = base .. 'custody-leases' }
  for _, part in ipairs({ 'wait', 'paused', 'active', 'delayed', 'prioritized', 'completed', 'failed',
    'meta', 'events', 'marker', 'id' }) do queue[part] = base .. part end
  return queue
end
local function tell(queue, event, id, ...)
  redis.call('XADD', queue.events, 'MAXLEN', '~', '10000', '*', 'event', event, 'jobId', id, ...)
end
`;

const MOVES = `
local function makeDue(queue, id, from)
  local job = redis.call('HMGET', queue.base .. id, 'priority', 'custody-number')
  if not job[2] then return end
  local score = tonumber(job[1]) * 4294967296 + tonumber(job[2]) % 4294967296
  redis.call('ZADD', queue.prioritized, whole(score), id)
  redis.call('HSET', queue.base .. id, 'delay', '0')
  redis.call('ZADD', queue.marker, '0', '0')
  tell(queue, 'waiting', id, 'prev', from)
end
local function delay(queue, id, due)
  local number = tonumber(redis.call('HGET', queue.base .. id, 'custody-number'))
  redis.call('ZADD', queue.delayed, whole(due * 4096 + number % 4096), id)
  redis.call('HSET', queue.base .. id, 'delay', whole(due - now))
  redis.call('ZADD', queue.marker, whole(due), '1')
  tell(queue, 'delayed', id, 'delay', whole(due))
end
local function bury(queue, id, at, reason)
  redis.call('ZADD', queue.failed, whole(at), id)
  redis.call('HSET', queue.base .. id, 'finishedOn', whole(at), 'custody-died', whole(at),
    'failedReason', reason)
  tell(queue, 'failed', id, 'failedReason', reason, 'prev', 'active')
end
-- Makes due what has become so: what waited, and what a worker has held for too long.
local function promote(queue)
  local due
  repeat
    due = redis.call('ZRANGEBYSCORE', queue.delayed, '0', whole((now + 1) * 4096 - 1), 'LIMIT', 0, 1000)
    for _, id in ipairs(due) do
      redis.call('ZREM', queue.delayed, id)
      makeDue(queue, id, 'delayed')
    end
  until #due == 0
  repeat
    due = redis.call('ZRANGEBYSCORE', queue.leases, '-inf', whole(now), 'WITHSCORES', 'LIMIT', 0, 1000)
    for index = 1, #due, 2 do
      local id = due[index]
      redis.call('ZREM', queue.leases, id)
      local job = redis.call('HMGET', queue.base .. id, 'custody-attempts', 'custody-max')
      -- A worker of BullMQ's may have found it first, and put it where it waits.
      if redis.call('LREM', queue.active, 1, id) == 0 then job = {} end
      if not job[1] then
        redis.call('UNLINK', queue.base .. id .. ':lock')
      elseif tonumber(job[1]) >= tonumber(job[2]) then
        bury(queue, id, tonumber(due[index + 1]), 'the lease of the last attempt ran out')
      else
        makeDue(queue, id, 'active')
      end
    end
  until #due == 0
end
local function add(queue, id, task)
  local key = queue.base .. id
  if redis.call('EXISTS', key) == 1 then return 0 end
  local number = redis.call('INCR', queue.id)
  redis.call('HSETNX', queue.meta, 'opts.maxLenEvents', '10000')
  redis.call('HSET', key, 'name', 'task', 'data', task.data, 'opts', task.opts, 'timestamp', whole(now),
    'delay', '0', 'priority', task.priority, 'custody-encoding', task.encoding, 'custody-number', number,
    'custody-attempts', '0', 'custody-max', task.max, 'custody-backoff', task.backoff)
  tell(queue, 'added', id, 'name', 'task')
  if task.due <= now then makeDue(queue, id, 'added') else delay(queue, id, task.due) end
  return 1
end
`;

const LEASES = `
-- The task that the worker of this token still holds, taken from those that are held.
local function take(queue, id, token)
  local ends = redis.call('ZSCORE', queue.leases, id)
  if not ends or tonumber(ends) <= now then return false end
  if redis.call('HGET', queue.base .. id, 'custody-token') ~= token then return false end
  redis.call('ZREM', queue.leases, id)
  redis.call('LREM', queue.active, 1, id)
  redis.call('UNLINK', queue.base .. id .. ':lock')
  return true
end
`;

/** KEYS: base of the queue. ARGV: now, job, data, encoding, opts, priority, due or -1, attempts, back-off. */
export const ENQUEUE: RedisScript = redisScript(`${NOW}${MOVES}
local due = tonumber(ARGV[7])
if due < 0 then due = now end
return add(queueAt(KEYS[1]), ARGV[2], { data = ARGV[3], encoding = ARGV[4], opts = ARGV[5],
  priority = ARGV[6], due = due, max = ARGV[8], backoff = ARGV[9] })
`);

/** KEYS: base, fencing. ARGV: now, lease, worker. Nothing, or {job, data, encoding, attempt, token, end}. */
export const CLAIM: RedisScript = redisScript(`${NOW}${MOVES}
local queue = queueAt(KEYS[1])
promote(queue)
-- BullMQ's own tools may pause a queue.
if redis.call('HEXISTS', queue.meta, 'paused') == 1 then return false end
local function first(place)
  while true do
    local id
    if place == queue.wait then id = redis.call('LINDEX', place, -1)
    else id = redis.call('ZRANGE', place, 0, 0)[1] end
    if not id or redis.call('EXISTS', queue.base .. id) == 1 then return id end
    if place == queue.wait then redis.call('RPOP', place) else redis.call('ZREM', place, id) end
  end
end
local id, job
-- What BullMQ's stalled check gave back waits in a list, before what has a priority.
for _, place in ipairs({ queue.wait, queue.prioritized }) do
  id = first(place)
  job = id and redis.call('HMGET', queue.base .. id, 'data', 'custody-encoding')
  if job and job[2] then break end
  -- What others have added is theirs.
  id = nil
end
if not id then return false end
redis.call('ZREM', queue.prioritized, id)
redis.call('LREM', queue.wait, -1, id)
local token = math.max((tonumber(redis.call('GET', KEYS[2])) or 0) + 1, now * 1000)
redis.call('SET', KEYS[2], whole(token))
local ends = now + tonumber(ARGV[2])
local key = queue.base .. id
local attempt = redis.call('HINCRBY', key, 'custody-attempts', 1)
redis.call('HINCRBY', key, 'ats', 1)
redis.call('HSET', key, 'custody-token', whole(token), 'processedOn', whole(now), 'pb', ARGV[3])
redis.call('LPUSH', queue.active, id)
redis.call('ZADD', queue.leases, whole(ends), id)
-- So that BullMQ's workers leave it alone.
redis.call('SET', key .. ':lock', whole(token), 'PX', ARGV[2])
tell(queue, 'active', id, 'prev', 'waiting')
return { id, job[1], job[2], attempt, whole(token), whole(ends) }
`);

/** KEYS: base. ARGV: now, job, token, lease. 1, or 0 when the lease is lost. */
export const EXTEND: RedisScript = redisScript(`${NOW}${LEASES}
local queue = queueAt(KEYS[1])
if not take(queue, ARGV[2], ARGV[3]) then return 0 end
redis.call('LPUSH', queue.active, ARGV[2])
redis.call('ZADD', queue.leases, whole(now + tonumber(ARGV[4])), ARGV[2])
redis.call('SET', queue.base .. ARGV[2] .. ':lock', ARGV[3], 'PX', ARGV[4])
return 1
`);

/** KEYS: base. ARGV: now, job, token, how many done are remembered. 1, or 0 when the lease is lost. */
export const COMPLETE: RedisScript = redisScript(`${NOW}${LEASES}
local queue = queueAt(KEYS[1])
if not take(queue, ARGV[2], ARGV[3]) then return 0 end
local key = queue.base .. ARGV[2]
redis.call('HSET', key, 'finishedOn', whole(now), 'returnvalue', 'null', 'data', '{}',
  'atm', redis.call('HGET', key, 'custody-attempts'))
redis.call('ZADD', queue.completed, whole(now), ARGV[2])
tell(queue, 'completed', ARGV[2], 'returnvalue', 'null', 'prev', 'active')
local over = redis.call('ZCARD', queue.completed) - tonumber(ARGV[4])
if over > 0 then
  for _, id in ipairs(redis.call('ZRANGE', queue.completed, 0, math.min(over, 1000) - 1)) do
    redis.call('ZREM', queue.completed, id)
    redis.call('UNLINK', queue.base .. id)
  end
end
return 1
`);

/** KEYS: base. ARGV: now, job, token, reason, longest back-off. 0 when the lease is lost, 1 retry, 2 dead. */
export const FAIL: RedisScript = redisScript(`${NOW}${MOVES}${LEASES}
local queue, id = queueAt(KEYS[1]), ARGV[2]
if not take(queue, id, ARGV[3]) then return 0 end
local job = redis.call('HMGET', queue.base .. id, 'custody-attempts', 'custody-max', 'custody-backoff')
local attempts = tonumber(job[1])
redis.call('HSET', queue.base .. id, 'atm', attempts, 'failedReason', ARGV[4])
if attempts >= tonumber(job[2]) then
  bury(queue, id, now, ARGV[4])
  return 2
end
delay(queue, id, now + math.min(tonumber(ARGV[5]), tonumber(job[3]) * 2 ^ (attempts - 1)))
return 1
`);

/** KEYS: base. ARGV: now, limit, last job seen or empty. A list of {job, data, encoding, attempts, reason, died}. */
export const DEAD_LETTERS: RedisScript = redisScript(`${NOW}${MOVES}
local queue, limit, after = queueAt(KEYS[1]), tonumber(ARGV[2]), ARGV[3]
promote(queue)
local died = redis.call('HGET', queue.base .. after, 'custody-died')
local found = {}
local function collect(ids)
  for _, id in ipairs(ids) do
    if #found >= limit then return end
    local job = redis.call('HMGET', queue.base .. id, 'data', 'custody-encoding', 'custody-attempts',
      'failedReason', 'custody-died', 'finishedOn')
    if job[2] then
      found[#found + 1] = { id, job[1], job[2], job[3], job[4] or '', job[5] or job[6] }
    end
  end
end
if died then
  -- Of those that died at the same instant, they are in order of their names.
  local same = redis.call('ZRANGEBYSCORE', queue.failed, died, died)
  local rest = {}
  for _, id in ipairs(same) do if id > after then rest[#rest + 1] = id end end
  collect(rest)
end
local from = died and '(' .. died or '-inf'
if #found < limit then
  collect(redis.call('ZRANGEBYSCORE', queue.failed, from, '+inf', 'LIMIT', 0, limit - #found))
end
return found
`);

/** KEYS: base. ARGV: now, job. 1, or 0 when it is no dead letter. */
export const REVIVE: RedisScript = redisScript(`${NOW}${MOVES}
local queue = queueAt(KEYS[1])
promote(queue)
if redis.call('ZREM', queue.failed, ARGV[2]) == 0 then return 0 end
redis.call('HSET', queue.base .. ARGV[2], 'custody-attempts', '0', 'atm', '0')
redis.call('HDEL', queue.base .. ARGV[2], 'failedReason', 'finishedOn')
makeDue(queue, ARGV[2], 'failed')
return 1
`);

/** KEYS: base. ARGV: now, job. */
export const REMOVE: RedisScript = redisScript(`${NOW}
local queue, id = queueAt(KEYS[1]), ARGV[2]
for _, list in ipairs({ queue.wait, queue.paused, queue.active }) do redis.call('LREM', list, 0, id) end
for _, set in ipairs({ queue.prioritized, queue.delayed, queue.completed, queue.failed, queue.leases }) do
  redis.call('ZREM', set, id)
end
local key = queue.base .. id
if redis.call('UNLINK', key, key .. ':lock', key .. ':logs') > 0 then tell(queue, 'removed', id) end
`);

/** KEYS: base. ARGV: now. {due, later, claimed, dead}. */
export const DEPTH: RedisScript = redisScript(`${NOW}${MOVES}
local queue = queueAt(KEYS[1])
promote(queue)
return { redis.call('ZCARD', queue.prioritized) + redis.call('LLEN', queue.wait), redis.call('ZCARD', queue.delayed),
  redis.call('ZCARD', queue.leases), redis.call('ZCARD', queue.failed) }
`);

/** KEYS: schedules, times. ARGV: now, name, what it is as JSON, first instant. */
export const SCHEDULE: RedisScript = redisScript(`
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[2])
`);

/** KEYS: schedules, times. ARGV: now, name. */
export const UNSCHEDULE: RedisScript = redisScript(`
redis.call('HDEL', KEYS[1], ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[2])
`);

/** KEYS: schedules, times. ARGV: now. How many tasks were enqueued. */
export const TICK: RedisScript = redisScript(`${NOW}${MOVES}
local enqueued = 0
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(now))) do
  local schedule = cjson.decode(redis.call('HGET', KEYS[1], name))
  local start, every = tonumber(schedule.start), tonumber(schedule.every)
  local instant = start + math.floor((now - start) / every) * every
  enqueued = enqueued + add(queueAt(schedule.base), schedule.job .. whole(instant), {
    data = schedule.data, encoding = schedule.encoding, opts = schedule.opts,
    priority = schedule.priority, due = now, max = schedule.max, backoff = schedule.backoff })
  redis.call('ZADD', KEYS[2], whole(instant + every), name)
end
return enqueued
`);
