-- Workers, their heartbeats, and the sweep that they share. A part of the library that begins in jobs.lua.

local function requeue_held(worker, each)
  local held = redis.call('HGETALL', P .. ':h:' .. worker)
  for i = 1, #held, 2 do
    local id = held[i + 1]:gsub('%?$', '')
    if held[i] ~= '0' and id:sub(1, 1) ~= 'x' then
      local rec = load(id)
      if rec and rec.s == 'R' and rec.h == worker .. '.' .. held[i] then each(id, rec) end
    end
  end
  redis.call('DEL', P .. ':h:' .. worker, P .. ':w:' .. worker)
  redis.call('ZREM', P .. ':workers', worker)
end

local function takes(queue)
  for _, worker in ipairs(redis.call('ZRANGE', P .. ':workers', 0, -1)) do
    local packed = redis.call('GET', P .. ':w:' .. worker)
    local it = packed and cmsgpack.unpack(packed)
    if it and eligible(queue, it.offers, it.key) then return true end
  end
  return false
end

local function fail_without_worker(queue, now, limit_us, budget)
  for _, name in ipairs(redis.call('ZRANGE', P .. ':t:' .. queue, 0, budget - 1)) do
    for urgency = 0, 3 do
      local newest = now - (3 - urgency) * URGENT   -- by which the young of greater urgency are left out
      local old = redis.call('ZRANGEBYSCORE', P .. ':q:' .. queue .. '|' .. name, '(' .. text_of(newest - URGENT),
                             text_of(newest - limit_us), 'LIMIT', 0, budget)
      for _, id in ipairs(old) do
        local rec = load(id)
        unqueue(id, rec)
        fail(id, rec, 'no-worker', 'No worker that can run process ' .. rec.p .. ' was there.', now)
      end
      budget = budget - #old
      if budget <= 0 then return end
    end
  end
end

local function expire(now, kept_us)
  local from = tonumber(redis.call('HGET', P .. ':s', 'x')) or 0
  local old = redis.call('ZRANGEBYSCORE', P .. ':all', '(' .. text_of(from), text_of(now - kept_us),
                         'WITHSCORES', 'LIMIT', 0, 500)
  local cursor = 0
  for i = 1, #old, 2 do
    local rec = load(old[i])
    if not rec then redis.call('ZREM', P .. ':all', old[i])
    elseif FINAL[rec.s] and rec.c + rec.e <= now - kept_us then forget(old[i], rec)
    else cursor = tonumber(old[i + 1]) end
  end
  if #old < 1000 then cursor = 0 end
  if cursor ~= from then redis.call('HSET', P .. ':s', 'x', text_of(cursor)) end
  return #old == 1000 and 1 or 0
end

-- beat us, lease us, kept us, no-worker us
local function sweep(now, beat_us, lease_us, kept_us, no_worker_us)
  local last = tonumber(redis.call('HGET', P .. ':s', 's')) or 0
  local away = now - last
  if away >= 0 and away < beat_us / 2 then return end
  redis.call('HSET', P .. ':s', 's', text_of(now))
  if away < 0 or away > 2 * beat_us then   -- everybody was away, or the clock was set: nobody is to lose a job for that
    for _, worker in ipairs(redis.call('ZRANGE', P .. ':workers', 0, -1)) do
      redis.call('ZADD', P .. ':workers', 'XX', now + lease_us, worker)
    end
  end
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', P .. ':workers', '-inf', '(' .. text_of(now))) do
    requeue_held(worker, function(id, rec) lose(id, rec, now) end)
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':delayed', '-inf', text_of(now), 'LIMIT', 0, 200)) do
    redis.call('ZREM', P .. ':delayed', id)
    local rec = load(id)
    if rec and rec.s == 'A' then enqueue(id, rec, false) end
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':due', '-inf', text_of(now), 'LIMIT', 0, 200)) do
    redis.call('ZREM', P .. ':due', id)
    local rec = load(id)
    if rec and rec.s == 'A' and not rec.a then
      unqueue(id, rec)
      expire_in_queue(id, rec, now)
    end
  end
  for _, queue in ipairs(ready_queues()) do
    wake(queue)
    if takes(queue) then
      redis.call('HDEL', P .. ':nowork', queue)
    else
      redis.call('HSETNX', P .. ':nowork', queue, text_of(now))
      if now - tonumber(redis.call('HGET', P .. ':nowork', queue)) >= no_worker_us then
        fail_without_worker(queue, now, no_worker_us, 200)
      end
    end
  end
  for _, reference in ipairs(redis.call('ZRANGEBYSCORE', P .. ':factsage', '-inf', text_of(now - 3 * kept_us), 'LIMIT', 0, 100)) do
    redis.call('HDEL', P .. ':facts', reference)
    redis.call('ZREM', P .. ':factsage', reference)
  end
end

entry('sweep', {'allow-oom'}, function(a)
  sweep(clock(), tonumber(a[1]), tonumber(a[2]), tonumber(a[3]), tonumber(a[4]))
  return 1
end)

-- One batch of what has been kept long enough; returns 1 when there may be more.
entry('expire', {'allow-oom'}, function(a)
  return expire(clock(), tonumber(a[1]))
end)

local function name_facts(facts, now)
  for reference, text in pairs(facts) do
    redis.call('HSET', P .. ':facts', reference, text)
    redis.call('ZADD', P .. ':factsage', now, reference)
  end
end

entry('facts', {'allow-oom'}, function(a)
  name_facts(cmsgpack.unpack(a[1]), clock())
  redis.call('ZADD', P .. ':libs', clock(), '@HASH@')
  return 1
end)

-- worker, packed description, packed facts, packed {child number -> token}, beat us, lease us, kept us, no-worker us, limit of hand-backs
entry('beat', {'allow-oom'}, function(a)
  local worker, now = a[1], clock()
  local listed = cmsgpack.unpack(a[4])
  local held = P .. ':h:' .. worker
  redis.call('ZADD', P .. ':workers', now + tonumber(a[6]), worker)
  redis.call('SET', P .. ':w:' .. worker, a[2])
  name_facts(cmsgpack.unpack(a[3]), now)
  redis.call('ZADD', P .. ':libs', now, '@HASH@')
  if redis.call('HSET', held, '0', text_of(now)) == 1 then redis.call('PERSIST', held) end
  local stored = redis.call('HGETALL', held)
  local known = {}
  for i = 1, #stored, 2 do
    local n, value = stored[i], stored[i + 1]
    if value:sub(1, 1) == 'x' then
      if now - tonumber(value:sub(2)) > 600 * 1000000 then redis.call('HDEL', held, n) end
    elseif n ~= '0' then
      local id = value:gsub('%?$', '')
      local rec = load(id)
      known[n] = rec and token_of(rec)
      if not known[n] or rec.s ~= 'R' or rec.h ~= worker .. '.' .. n then
        redis.call('HDEL', held, n)
      elseif listed[n] == known[n] then
        if value ~= id then redis.call('HSET', held, n, id) end
      elseif value == id then
        redis.call('HSET', held, n, id .. '?')
      else   -- the second heartbeat in a row that does not know of it: the claim's reply was lost
        hand_over(id, rec, tonumber(a[9]), now)
      end
    end
  end
  local dead = {}
  for n, token in pairs(listed) do
    if known[n] ~= token then dead[#dead + 1] = n end
  end
  sweep(now, tonumber(a[5]), tonumber(a[6]), tonumber(a[7]), tonumber(a[8]))
  return dead
end)

entry('leave', {'allow-oom'}, function(a)
  local now = clock()
  requeue_held(a[1], function(id, rec) hand_over(id, rec, tonumber(a[2]), now) end)
  return 1
end)

-- Pauses

entry('pause', {'allow-oom'}, function(a)
  redis.call('HSETNX', P .. ':c', 'p ' .. a[1], text_of(clock()))
  return 1
end)

entry('resume', {'allow-oom'}, function(a)
  redis.call('HDEL', P .. ':c', 'p ' .. a[1])
  for _, queue in ipairs(ready_queues()) do wake(queue) end
  return 1
end)
