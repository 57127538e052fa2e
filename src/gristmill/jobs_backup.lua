-- Copying jobs for a backup, and restoring them. A part of the library that begins in jobs.lua.

local BLOBS = '([^,;]+),(%d+),(%d+)'
local RAN = 'It was running when the backup was made; it runs again.'

-- Copying

-- A job's blobs as "<blob>,<chunks>,<bytes>;..."; 0 chunks: its bytes are not there, which never should be.
local function blobs_of(rec)
  local names, texts = {}, {}
  for _, blob in ipairs(rec.B or {}) do names[#names + 1] = blob end
  if rec.I then names[#names + 1] = rec.I:match('^[^,]+') end
  for i, blob in ipairs(names) do
    local packed = redis.call('GET', P .. ':b:' .. blob)
    local meta = packed and cmsgpack.unpack(packed) or {n = 0, s = 0}
    texts[i] = blob .. ',' .. text_of(meta.n) .. ',' .. text_of(meta.s)
  end
  return table.concat(texts, ';')
end

-- most bytes, jobs; answers how many it has looked at, and of those that there are id, record, log, time of the next
-- try or "", blobs
entry('copy_jobs', {'no-writes'}, function(a)
  local rows, bytes, looked = {}, 0, 0
  for i = 2, #a do
    if bytes > tonumber(a[1]) then break end
    looked = looked + 1
    local id, packed = a[i], redis.call('GET', P .. ':j:' .. a[i])
    if packed then
      local rec = cmsgpack.unpack(packed)
      local log = rec.lg and redis.call('GET', P .. ':l:' .. id) or ''
      local due = rec.s == 'A' and redis.call('ZSCORE', P .. ':delayed', id) or ''
      rows[#rows + 1] = {id, packed, log, due, blobs_of(rec)}
      bytes = bytes + #packed + #log
    end
  end
  return {looked, rows}
end)

-- "i" or "e", names without ":i:" or ":e:"; answers name, value, end (ms) and 1 when the job is there
entry('copy_marks', {'no-writes'}, function(a)
  local rows = {}
  for i = 2, #a do
    local key = P .. ':' .. a[1] .. ':' .. a[i]
    local value = redis.call('GET', key)
    if value then
      local job = a[1] == 'i' and value:sub(9) or value
      rows[#rows + 1] = {a[i], value, redis.call('PEXPIRETIME', key), redis.call('EXISTS', P .. ':j:' .. job)}
    end
  end
  return rows
end)

-- Restoring

-- backup, how: "look", "take" (before anything is changed), "empty" (begin where nothing is, or where this backup has
-- been begun) or "any" (begin anyway), run; answers jobs, data sets, and of the backup that was restored here last its
-- name and end, "" while it has none. While another has taken it: the error "TAKEN", since when, for how many ms more.
entry('restore_begin', {}, function(a)
  local key = P .. ':restored'
  local last = redis.call('HMGET', key, 'backup', 'ended')
  local jobs, sets = redis.call('ZCARD', P .. ':all'), redis.call('ZCARD', P .. ':ds:all')
  if a[2] == 'take' then
    local holder = redis.call('GET', P .. ':restoring')
    if holder and holder ~= a[3] then
      local since, left = redis.call('HGET', key, 'taken'), redis.call('PTTL', P .. ':restoring')
      return redis.error_reply('TAKEN ' .. (since or '0') .. ' ' .. text_of(left))
    end
    redis.call('HSET', key, 'run', a[3], 'taken', text_of(clock()))
    redis.call('SET', P .. ':restoring', a[3], 'PX', LEASE_MS)
  elseif a[2] ~= 'look' then
    if is_overtaken(a[3]) then return redis.error_reply(OVERTAKEN) end
    if a[2] == 'any' or jobs + sets == 0 or last[1] == a[1] and not last[2] then
      redis.call('HDEL', key, 'ended')
      redis.call('HSET', key, 'backup', a[1], 'begun', text_of(clock()))
    end
  end
  return {jobs, sets, last[1] or '', last[2] or ''}
end)

-- run; shows that it lives
entry('restore_renew', {'allow-oom'}, function(a)
  if is_overtaken(a[1]) then return redis.error_reply(OVERTAKEN) end
  return 1
end)

-- run; it is over
entry('restore_release', {'allow-oom'}, function(a)
  if redis.call('GET', P .. ':restoring') == a[1] then redis.call('DEL', P .. ':restoring') end
  return 1
end)

-- run, keys below ":r:" that others have left
entry('restore_tidy', {'allow-oom'}, function(a)
  if is_overtaken(a[1]) then return redis.error_reply(OVERTAKEN) end
  for i = 2, #a do redis.call('UNLINK', a[i]) end
  return 1
end)

-- key, bytes, for how many seconds, run
entry('restore_stage', {}, function(a)
  if is_overtaken(a[4]) then return redis.error_reply(OVERTAKEN) end
  redis.call('SET', P .. ':r:' .. a[4] .. ':' .. a[1], a[2], 'EX', a[3])
  return 1
end)

-- run
entry('restore_end', {'allow-oom'}, function(a)
  if is_overtaken(a[1]) then return redis.error_reply(OVERTAKEN) end
  redis.call('HSET', P .. ':restored', 'ended', text_of(clock()))
  return 1
end)

local function clear_job(id, now)
  local rec = load(id)
  if rec and not FINAL[rec.s] then
    dismiss(id, rec, now)
    rec = load(id)
  end
  if rec then forget(id, rec) else redis.call('ZREM', P .. ':all', id) end
end

-- A record that nobody could have written goes with what names it and what of it can be found, and does not keep the
-- others.
-- latest creation, run; dismisses and deletes some of the jobs until then, and answers how many
entry('clear_jobs', {'allow-oom'}, function(a)
  if is_overtaken(a[2]) then return redis.error_reply(OVERTAKEN) end
  local now = clock()
  local ids = redis.call('ZRANGEBYSCORE', P .. ':all', '-inf', a[1], 'LIMIT', 0, 100)
  for _, id in ipairs(ids) do
    if not pcall(clear_job, id, now) then
      pcall(function() forget(id, load(id)) end)
      redis.call('DEL', P .. ':j:' .. id)
      redis.call('ZREM', P .. ':all', id)
    end
  end
  return #ids
end)

local function staged(run, key)
  return P .. ':r:' .. run .. ':' .. key
end

-- Stops at the first that is missing: how many there are to be was said by somebody else.
local function is_staged(run, blob, chunks, bytes)
  local found = 0
  for i = 0, chunks - 1 do
    local key = staged(run, 'b:' .. blob .. ':' .. i)
    if redis.call('EXISTS', key) == 0 then return false end
    found = found + redis.call('STRLEN', key)
  end
  return found == bytes
end

local function is_blob(blob)
  return redis.call('EXISTS', P .. ':b:' .. blob) == 1
end

local function is_whole(run, id, rec, log, blobs)
  for blob, chunks, bytes in blobs:gmatch(BLOBS) do
    if not is_blob(blob) and not is_staged(run, blob, tonumber(chunks), tonumber(bytes)) then return false end
  end
  return not rec.lg or log ~= '' or redis.call('EXISTS', staged(run, 'l:' .. id)) == 1
end

local function take_staged(run, id, rec, log, blobs)
  for blob, chunks, bytes in blobs:gmatch(BLOBS) do
    if is_blob(blob) then
      count_blobs({blob}, 1)
    else
      for i = 0, chunks - 1 do
        redis.call('RENAME', staged(run, 'b:' .. blob .. ':' .. i), P .. ':b:' .. blob .. ':' .. i)
      end
      keep_blob(blob, tonumber(chunks), tonumber(bytes))
    end
  end
  if log ~= '' then
    redis.call('SET', P .. ':l:' .. id, log)
  elseif rec.lg then
    redis.call('RENAME', staged(run, 'l:' .. id), P .. ':l:' .. id)
    redis.call('PERSIST', P .. ':l:' .. id)
  end
end

-- An unfinished job goes to where it waits: for the same work of another job, for its next try, or in its queue.
local function wait_again(id, rec, due, kept_us)
  local first = rec.j and load(rec.j)
  if first and not FINAL[first.s] and not first.j and first.x == rec.x then
    redis.call('SADD', P .. ':join:' .. rec.j, id)
  else
    rec.j = nil
    if due ~= '' then redis.call('ZADD', P .. ':delayed', due, id) else enqueue(id, rec, false) end
    if rec.x then redis.call('SET', P .. ':e:' .. rec.x, id, 'NX', 'PX', text_of(kept_us / 1000)) end
  end
  if rec.qs and not rec.a then redis.call('ZADD', P .. ':due', rec.qs, id) end
end

-- Answers what became of it: "restored", "again" (it ran, and will run again), or nothing because it is "there", is
-- "old" (kept long enough), or a part is "missing".
local function restore_job(run, id, packed, log, due, blobs, now, kept_us, tells)
  local rec = cmsgpack.unpack(packed)
  local is_final, ran = FINAL[rec.s], rec.s == 'R'
  local why_not = redis.call('EXISTS', P .. ':j:' .. id) == 1 and 'there'
      or is_final and rec.c + rec.e <= now - kept_us and 'old'
  if why_not then return why_not end
  if not is_whole(run, id, rec, log, blobs) then return 'missing' end
  take_staged(run, id, rec, log, blobs)
  local created = text_of(rec.c)
  redis.call('ZADD', P .. ':all', created, id)
  redis.call('ZADD', P .. ':o:' .. rec.o, created, id)
  redis.call('ZADD', P .. ':p:' .. rec.p, created, id)
  local owner = owner_of(rec)
  if is_final then
    owner.b = owner.b + #(rec.i or '') + #(rec.r or '') + (rec.z or 0)
    redis.call('SET', P .. ':j:' .. id, packed)
    return 'restored'
  end
  owner.n, owner.b = owner.n + 1, owner.b + (rec.zb or 0)
  if not tells then rec.cb = nil end
  if ran then
    rec.s, rec.h, rec.b, rec.g, rec.l, rec.t = 'A', nil, nil, nil, nil, RAN
    announce(id, rec, now)
  end
  wait_again(id, rec, due, kept_us)
  save(id, rec)
  return ran and 'again' or 'restored'
end

-- packed {{id, record, log, due, blobs}, ...}, kept us, "1" when subscribers are to be told, run; answers what became of
-- each
entry('restore_jobs', {}, function(a)
  if is_overtaken(a[4]) then return redis.error_reply(OVERTAKEN) end
  local now, answers = clock(), {}
  for i, it in ipairs(cmsgpack.unpack(a[1])) do
    answers[i] = restore_job(a[4], it[1], it[2], it[3], it[4], it[5], now, tonumber(a[2]), a[3] == '1')
  end
  return answers
end)

-- A mark of another job that is here wins.
local function restore_mark(kind, name, value, ends_ms, was_there, now)
  local function job_of(text) return kind == 'i' and text:sub(9) or text end
  local key, rec = P .. ':' .. kind .. ':' .. name, load(job_of(value))
  local is_right
  if kind == 'i' then is_right = rec or not was_there   -- else its job came after those that were copied
  else is_right = rec and (rec.s == 'S' or not FINAL[rec.s] and rec.x == name) end
  local known = redis.call('GET', key)
  if not is_right or ends_ms * 1000 <= now or known and known ~= value and load(job_of(known)) then return end
  redis.call('SET', key, value, 'PXAT', text_of(ends_ms))
end

-- packed {{"i" or "e", name, value, end (ms), 1 when its job was there}, ...}
entry('restore_marks', {}, function(a)
  local now = clock()
  for _, it in ipairs(cmsgpack.unpack(a[1])) do restore_mark(it[1], it[2], it[3], it[4], it[5] == 1, now) end
  return 1
end)

-- packed {{call-back, due, packed}, ...}; those of what is so here: a job that runs again will tell it again
entry('restore_call_backs', {}, function(a)
  local restored = 0
  for _, it in ipairs(cmsgpack.unpack(a[1])) do
    local event, due, packed = it[1], it[2], it[3]
    local rec = load(cmsgpack.unpack(packed).job)
    if rec and FINAL[rec.s] and tonumber(event:match('%d+$')) <= rec.u
        and redis.call('HSETNX', P .. ':cbd', event, packed) == 1 then
      redis.call('ZADD', P .. ':cb', due, event)
      restored = restored + 1
    end
  end
  return restored
end)
