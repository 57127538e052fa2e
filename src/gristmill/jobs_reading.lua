-- What changes no job: status, lists, overviews; and the call-backs that are due. A part of the library that begins in
-- jobs.lua.

local function position(id, rec)
  local place = redis.call('ZRANK', P .. ':q:' .. rec.q .. '|' .. rec.o, id)
  if not place then return nil end
  local turns = redis.call('ZRANGE', P .. ':t:' .. rec.q, 0, 199, 'WITHSCORES')
  local mine = tonumber(redis.call('ZSCORE', P .. ':t:' .. rec.q, rec.o))
  local ahead = place
  for i = 1, #turns, 2 do
    if turns[i] ~= rec.o then
      local turn = tonumber(turns[i + 1])   -- each owner's next jobs come at its turn, its turn + 1, ...
      local rounds = mine + place - turn + (turns[i] < rec.o and 1 or 0)
      ahead = ahead + math.max(0, math.min(rounds, redis.call('ZCARD', P .. ':q:' .. rec.q .. '|' .. turns[i])))
    end
  end
  return ahead
end

entry('status', {'no-writes'}, function(a)
  local packed = redis.call('GET', P .. ':j:' .. a[1])
  if not packed then return false end
  local rec = cmsgpack.unpack(packed)
  if rec.s ~= 'A' then return {packed} end
  if rec.j then return {packed, 'joined', 0, rec.j} end
  local due = redis.call('ZSCORE', P .. ':delayed', a[1])
  if due then return {packed, 'retry', tonumber(due), ''} end
  local ahead = position(a[1], rec) or 0
  local _, paused = look(redis.call('HGETALL', P .. ':c'))
  if paused[rec.p] or paused['*'] then return {packed, 'paused', ahead, ''} end
  if not takes(rec.q) then return {packed, 'no-worker', ahead, ''} end
  if ahead > 0 then return {packed, 'position', ahead, ''} end
  for _, worker in ipairs(redis.call('ZRANGE', P .. ':workers', 0, -1)) do
    local it = redis.call('GET', P .. ':w:' .. worker)
    it = it and cmsgpack.unpack(it)
    local limit = it and eligible(rec.q, it.offers, it.key)
    if limit and (limit == 0 or (tonumber(redis.call('HGET', P .. ':running', rec.p)) or 0) < limit) then
      return {packed, 'next', 0, ''}
    end
  end
  return {packed, 'limit', 0, ''}
end)

-- index (":all", ":o:...", ":p:..."), below (exclusive score or "+inf"), from (score), limit, packed {o, p, s: sets; min, max seconds}
entry('list', {'no-writes'}, function(a)
  local index, below, from, limit = P .. a[1], a[2], a[3], tonumber(a[4])
  local wanted = cmsgpack.unpack(a[5])
  local now = clock()
  local found, last, walked = {}, below, 0
  while walked < 1000 do
    local ids = redis.call('ZREVRANGEBYSCORE', index, below, from, 'WITHSCORES', 'LIMIT', 0, 100)
    for i = 1, #ids, 2 do
      local packed = redis.call('GET', P .. ':j:' .. ids[i])
      local rec = packed and cmsgpack.unpack(packed)
      local ok = rec and (not wanted.o or wanted.o == rec.o) and (not wanted.p or wanted.p[rec.p]) and (not wanted.s or wanted.s[rec.s])
      if ok and (wanted.min or wanted.max) then
        local seconds = rec.b and ((rec.e or now) - rec.b) / 1000000
        ok = seconds and (not wanted.min or seconds >= wanted.min) and (not wanted.max or seconds <= wanted.max)
      end
      if ok then
        if #found == 2 * limit then return {found, last} end
        found[#found + 1] = ids[i]
        found[#found + 1] = packed
      end
      last = ids[i + 1]
      below = '(' .. last
    end
    if #ids < 200 then return {found, ''} end
    walked = walked + #ids / 2
  end
  return {found, last}
end)

entry('queues', {'no-writes'}, function()
  local now = clock()
  local rows = {}
  for _, queue in ipairs(ready_queues()) do
    local ready, oldest = 0, now
    for _, name in ipairs(redis.call('ZRANGE', P .. ':t:' .. queue, 0, -1)) do
      local mine = P .. ':q:' .. queue .. '|' .. name
      ready = ready + redis.call('ZCARD', mine)
      local head = load(redis.call('ZRANGE', mine, 0, 0)[1])
      if head then oldest = math.min(oldest, head.c) end
    end
    rows[#rows + 1] = {queue:match('^(.-)@'), 'ready', ready, now - oldest}
  end
  for _, id in ipairs(redis.call('ZRANGE', P .. ':delayed', 0, 9999)) do
    local rec = load(id)
    if rec then rows[#rows + 1] = {rec.p, 'delayed', 1, 0} end
  end
  for _, worker in ipairs(redis.call('ZRANGE', P .. ':workers', 0, -1)) do
    for _, held in ipairs(redis.call('HVALS', P .. ':h:' .. worker)) do
      local rec = load((held:gsub('%?$', '')))
      if rec and rec.s == 'R' then rows[#rows + 1] = {rec.p, 'running', 1, 0} end
    end
  end
  local names = {}
  for name in pairs(select(2, look(redis.call('HGETALL', P .. ':c')))) do names[#names + 1] = name end
  return {rows, names}
end)

entry('workers', {'no-writes'}, function()
  local now, rows = clock(), {}
  local leases = redis.call('ZRANGE', P .. ':workers', 0, -1, 'WITHSCORES')
  for i = 1, #leases, 2 do
    local packed = redis.call('GET', P .. ':w:' .. leases[i])
    local running = 0
    for _, held in ipairs(redis.call('HGETALL', P .. ':h:' .. leases[i])) do
      if #held >= 22 then running = running + 1 end
    end
    if packed then rows[#rows + 1] = {leases[i], packed, running, tonumber(leases[i + 1]) - now} end
  end
  return rows
end)

-- Call-backs

entry('call_backs', {'allow-oom'}, function(a)
  local now, rows = clock(), {}
  for _, event in ipairs(redis.call('ZRANGEBYSCORE', P .. ':cb', '-inf', text_of(now), 'LIMIT', 0, tonumber(a[1]))) do
    redis.call('ZADD', P .. ':cb', now + 60 * 1000000, event)
    local packed = redis.call('HGET', P .. ':cbd', event)
    if packed then rows[#rows + 1] = {event, packed} else redis.call('ZREM', P .. ':cb', event) end
  end
  return rows
end)

entry('called_back', {'allow-oom'}, function(a)
  local packed = redis.call('HGET', P .. ':cbd', a[1])
  if packed and a[2] ~= '' then
    local it = cmsgpack.unpack(packed)
    it.tries = it.tries + 1
    redis.call('HSET', P .. ':cbd', a[1], cmsgpack.pack(it))
    redis.call('ZADD', P .. ':cb', clock() + tonumber(a[2]), a[1])
  else
    redis.call('ZREM', P .. ':cb', a[1])
    redis.call('HDEL', P .. ':cbd', a[1])
  end
  return 1
end)
