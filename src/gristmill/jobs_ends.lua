-- How jobs end, run again or go: the transitions. A part of the library that begins in jobs.lua.

local function call_back(id, rec, now)
  if not rec.cb then return end
  local urls = cjson.decode(rec.cb)
  local url = rec.s == 'S' and urls.successUri or rec.s == 'F' and urls.failedUri or rec.s == 'R' and urls.inProgressUri
  if not url then return end
  local event = id .. '.' .. rec.u
  redis.call('ZADD', P .. ':cb', now, event)
  redis.call('HSET', P .. ':cbd', event, cmsgpack.pack({url = url, owner = rec.o, job = id, status = rec.s, created = now, tries = 0}))
end

local function count_attempt(rec, how, now)
  local seconds = (now - (rec.b or now)) / 1000000
  local bucket = '+Inf'
  for _, edge in ipairs(BUCKETS) do
    if seconds <= edge then bucket = tostring(edge) break end
  end
  redis.call('HINCRBY', P .. ':stats', rec.p .. '|' .. how .. '|' .. bucket, '1')
  redis.call('HINCRBY', P .. ':stats', rec.p .. '|us', text_of(now - (rec.b or now)))
end

local function wake_if_ready(rec)
  if redis.call('HEXISTS', P .. ':c', 'q ' .. rec.q) == 1 then wake(rec.q) end
end

-- An attempt no longer runs: frees its place among the concurrent runs.
local function release_run(rec)
  if rec.l then
    rec.l = nil
    if redis.call('HINCRBY', P .. ':running', rec.p, -1) <= 0 then redis.call('HDEL', P .. ':running', rec.p) end
    wake_if_ready(rec)
  end
end

local function drop_hold(rec)
  if rec.h then
    local worker, n = rec.h:match('^(.+)%.(%d+)$')
    redis.call('HDEL', P .. ':h:' .. worker, n)
  end
end

local function trim(rec)
  rec.m, rec.q, rec.x, rec.j, rec.y, rec.g, rec.t, rec.qs, rec.cb = nil, nil, nil, nil, nil, nil, nil, nil, nil
  rec.z = rec.z ~= 0 and rec.z or nil
  rec.b, rec.e = rec.b and rec.b - rec.c, rec.e - rec.c   -- small numbers pack into few bytes
end

local function copy_result(rec, source, source_id)
  rec.r, rec.k, rec.B, rec.zr = source.r, source_id, source.B, source.zr
  rec.km = source.km or {source.a, source.h, source.w or source.f, source.c + source.b, source.c + source.e}
  rec.z = (rec.z or 0) + (source.zr or 0)
  count_blobs(source.B, 1)
end

local conclude

-- What waits for the result of this job: gets it, ends alike, or goes on by itself.
local function settle_joined(id, rec, now)
  local joined = redis.call('SMEMBERS', P .. ':join:' .. id)
  if #joined == 0 then return end
  redis.call('DEL', P .. ':join:' .. id)
  table.sort(joined)
  local next_first
  for _, other in ipairs(joined) do
    local it = load(other)
    if it and it.s == 'A' then
      it.j = nil
      if rec.s == 'S' then
        it.b = now
        copy_result(it, rec, id)
        conclude(other, it, 'S', now)
      elseif rec.s == 'F' and OWN_FAULT[rec.n] then
        it.n, it.d, it.k = rec.n, rec.d, id
        conclude(other, it, 'F', now)
      elseif next_first then
        it.j = next_first
        redis.call('SADD', P .. ':join:' .. next_first, other)
        save(other, it)
      else
        next_first = other
        enqueue(other, it, false)
        save(other, it)
        redis.call('SET', P .. ':e:' .. it.x, other, 'EX', 86400)
      end
    end
  end
end

-- Every end of a job goes through here. The caller has filled in r, n, d.
function conclude(id, rec, status, now)
  local owner = owner_of(rec)
  release_run(rec)
  rec.s, rec.e = status, now
  owner.n = owner.n - 1
  local stored = #(rec.i or '') + #(rec.r or '') + (rec.z or 0)
  owner.b = owner.b + stored - (rec.zb or 0)
  rec.zb = nil
  if rec.qs then redis.call('ZREM', P .. ':due', id) end
  if rec.x and status ~= 'S' and redis.call('GET', P .. ':e:' .. rec.x) == id then redis.call('DEL', P .. ':e:' .. rec.x) end
  local equal = rec.x
  announce(id, rec, now)
  call_back(id, rec, now)
  trim(rec)
  if equal then settle_joined(id, rec, now) end
  return save(id, rec)
end

local function fail(id, rec, how, detail, now)
  rec.n, rec.d, rec.r = how, detail, nil
  return conclude(id, rec, 'F', now)
end

-- The attempt is over without a result, and the job goes back to its place.
local function requeue(id, rec, message, now)
  drop_hold(rec)
  release_run(rec)
  rec.s, rec.h, rec.b, rec.g, rec.t = 'A', nil, nil, nil, message
  enqueue(id, rec, true)
  announce(id, rec, now)
  save(id, rec)
end

local LIMIT_LOSSES, LIMIT_CRASHES = 3, 2

local function keep_log(id, rec, log)
  if log ~= '' then
    redis.call('SET', P .. ':l:' .. id, log)
    rec.lg = #log
  end
end

-- A job whose attempt cannot speak any more ends by another's word.
local function fail_for(id, rec, how, detail, now)
  drop_hold(rec)
  rec.K = 1
  fail(id, rec, how, detail, now)
end

local function lose(id, rec, now)
  rec.L = (rec.L or 0) + 1
  count_attempt(rec, 'worker-lost', now)
  if rec.L >= LIMIT_LOSSES then
    fail_for(id, rec, 'workers-lost', 'The worker was lost ' .. rec.L .. ' times while it ran this job.', now)
  else
    requeue(id, rec, 'The worker was lost; the job runs again.', now)
  end
end

local function hand_over(id, rec, limit, now)
  rec.H = (rec.H or 0) + 1
  count_attempt(rec, 'handed-back', now)
  if rec.H >= limit then
    fail_for(id, rec, 'interrupted', 'Its worker was stopped ' .. rec.H .. ' times before the job could finish.', now)
  else
    requeue(id, rec, 'The worker was stopped; the job runs again.', now)
  end
end

local function forget(id, rec)
  redis.call('DEL', P .. ':j:' .. id, P .. ':join:' .. id)
  if rec.lg then redis.call('UNLINK', P .. ':l:' .. id) end
  if rec.I then count_blobs({rec.I:match('^[^,]+')}, -1) end
  redis.call('ZREM', P .. ':all', id)
  redis.call('ZREM', P .. ':o:' .. rec.o, id)
  redis.call('ZREM', P .. ':p:' .. rec.p, id)
  count_blobs(rec.B, -1)
  local owner = owner_of(rec)
  owner.b = owner.b - #(rec.i or '') - #(rec.r or '') - (rec.z or 0)
end
