-- Restoring data sets from a backup. A part of the library that begins in datasets.lua. What is copied is read by the
-- functions there that answer.

local RESTORING = 'restore'   -- stands for the jobs that will use a version, until those have been restored

local function staged(run, blob, i)
  return P .. ':r:' .. run .. ':ds:c:' .. blob .. ':' .. i
end

local function is_staged(run, it)
  local found = 0
  for i = 0, it.n - 1 do
    local size = redis.call('STRLEN', staged(run, it.b, i))
    if size == 0 then return false end
    found = found + size
  end
  return found == it.s
end

local function hold_version(version, job, ends)
  redis.call('SADD', P .. ':ds:h:' .. version, job)
  redis.call('ZADD', P .. ':ds:holds', 'GT', ends, version .. ' ' .. job)
end

-- A version that is here already serves this data set too.
local function restore_version(run, name, rec, it, new)
  local stored = load('v', it.i)
  if stored then
    keep(stored.b, nil, name)
    it.s = tonumber(redis.call('HGET', P .. ':ds:b:' .. stored.b, 's'))
  else
    for i = 0, new.n - 1 do redis.call('RENAME', staged(run, new.b, i), chunk(new.b, i)) end
    keep(new.b, new, name)
    save('v', it.i, {b = new.b, f = new.f, o = new.o})
  end
  charge('o ' .. rec.o, it.s)
end

-- run of the restore; deletes some of the data sets, and answers how many
entry('clear_data_sets', {'allow-oom'}, function(a)
  if is_overtaken(a[1]) then return redis.error_reply(OVERTAKEN) end
  local names = redis.call('ZRANGE', P .. ':ds:all', 0, 9)
  for _, name in ipairs(names) do
    local rec = load('d', name)
    if not rec or not pcall(drop, name, rec) then
      redis.call('DEL', P .. ':ds:d:' .. name, P .. ':ds:t:' .. name)
      redis.call('ZREM', P .. ':ds:all', name)
    end
  end
  return #names
end)

-- name, packed record, packed texts, packed {version -> {b blob, n, s, h of it, f facts, o reading options}}, until when
-- its versions are kept at least, run of the restore; answers "restored", or nothing was done
-- because it is "there" or a part is "missing"
entry('restore_data_set', {}, function(a)
  local name, rec, new = a[1], cmsgpack.unpack(a[2]), cmsgpack.unpack(a[4])
  if is_overtaken(a[6]) then return redis.error_reply(OVERTAKEN) end
  if load('d', name) then return 'there' end
  for _, it in ipairs(rec.V) do
    if redis.call('EXISTS', P .. ':ds:v:' .. it.i) == 0 and not (new[it.i] and is_staged(a[6], new[it.i])) then return 'missing' end
  end
  for _, it in ipairs(rec.V) do
    restore_version(a[6], name, rec, it, new[it.i])
    hold_version(it.i, RESTORING, a[5])
  end
  redis.call('ZADD', P .. ':ds:all', 0, name)
  redis.call('ZADD', P .. ':ds:o:' .. rec.o, 0, name)
  local texts = cmsgpack.unpack(a[3])
  for field, text in pairs(texts) do redis.call('HSET', P .. ':ds:t:' .. name, field, text) end
  rec.t = nil
  charge_texts(rec, bytes_of(texts))
  save('d', name, rec)
  return 'restored'
end)

-- packed {{version, job, until when}, ...}; those of versions and jobs that are here
entry('restore_holds', {}, function(a)
  local restored = 0
  for _, it in ipairs(cmsgpack.unpack(a[1])) do
    if redis.call('EXISTS', P .. ':ds:v:' .. it[1], P .. ':j:' .. it[2]) == 2 then
      hold_version(it[1], it[2], it[3])
      restored = restored + 1
    end
  end
  return restored
end)

-- until when versions are kept, most versions; some of them are so only for jobs from now on, and answers how many
entry('end_restoring', {'allow-oom'}, function(a)
  local ended = 0
  for _, hold in ipairs(redis.call('ZRANGEBYSCORE', P .. ':ds:holds', a[1], a[1], 'LIMIT', 0, 100)) do
    local version, job = hold:match('^(%S+) (.*)$')
    if job == RESTORING then
      let_go(version, job, tonumber(a[2]))
      ended = ended + 1
    end
  end
  return ended
end)
