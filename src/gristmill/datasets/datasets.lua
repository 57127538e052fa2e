#!lua name=gristmill_datasets_@HASH@
--[[
Data sets: every change is one call of a function of this library, so it is atomic, and safe to repeat.

Every key starts with a prefix (KEYS[1], "{g0}" by default). Times are microseconds of Redis' own clock (TIME). A name is a
data set's, a version the SHA-256 of an upload and its reading options. The bytes of a version are a blob; data sets with the
same version share it.

The library is this file and, behind it, datasets_backup.lua (restoring).

key              type    what                                            written by               goes
:ds:d:<name>     string  the data set's record, packed (fields below)    commit, describe, prune  delete
:ds:t:<name>     hash    its texts: title, description, licence, source, describe                 delete
                         "d <column>" and "u <column>" (unit)
:ds:all          zset    name -> 0, so in the order of the alphabet      commit                   delete
:ds:o:<owner>    zset    the same, the data sets of one owner            commit                   delete
:ds:v:<version>  string  packed {b blob, f facts, o reading options}     commit                   with its last data set
:ds:b:<blob>     hash    n chunks, s bytes, h SHA-256, and "=<reference>" keep, commit            with its last reference
                         for each reference: the name of a data set
:ds:c:<blob>:<i> string  a chunk of at most 1 MB; it expires with the    write (Python's SET)     with its last reference
                         upload until the blob is kept           TTL
:ds:u:<upload>   string  packed {o owner who is charged, s bytes         reserve                  commit, discard, sweep
                         reserved, e end}
:ds:uploads      zset    upload -> when it ends                          reserve                  with it
:ds:bytes        hash    "total" -> bytes of blobs, texts and            reserve, commit,         at 0
                         reservations; "o <owner>" -> the same of one    describe, ends
                         owner, a blob counted for each of the data sets
:ds:h:<version>  set     jobs that use the version                       hold                     release, sweep
:ds:holds        zset    "<version> <job>" -> until when                 hold                     with it
:ds:epoch        string  how often a version has left a data set         prune, delete            never
:ds:x:<change>   string  the answer to a change, for its repetition TTL  commit, describe, delete after 60 s
:r:<run>:ds:c:<blob>:<i> string a chunk that a restore will keep   TTL   restore_stage           restore
:libs            zset    "datasets_<hash>" -> when it was last named     sweep                    (see jobs.lua)

Fields of a record: o owner  c created  u revision: the time of the last change, greater at every change
t bytes of texts that are counted; none where an earlier release has written them
V versions, newest first: arrays of {i version, c since when, r rows, s stored bytes, d bytes that were read}
]]

local CHANGE_SECONDS = 60

local P   -- the prefix; set by every entry point for the length of one call

local whole   -- as in jobs.lua: a time has more digits than Lua's own conversion keeps
local function text_of(number)
  whole = whole or (string.format('%d', 2^52) == '4503599627370496' and '%d' or '%.0f')
  return string.format(whole, number)
end

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

local function load(kind, id)
  local packed = redis.call('GET', P .. ':ds:' .. kind .. ':' .. id)
  return packed and cmsgpack.unpack(packed) or nil
end

local function save(kind, id, it)
  local packed = cmsgpack.pack(it)
  redis.call('SET', P .. ':ds:' .. kind .. ':' .. id, packed)
  return packed
end

local function charge(field, bytes)
  if redis.call('HINCRBY', P .. ':ds:bytes', field, text_of(bytes)) <= 0 then redis.call('HDEL', P .. ':ds:bytes', field) end
end

local function used(field)
  return tonumber(redis.call('HGET', P .. ':ds:bytes', field)) or 0
end

local function entry(name, flags, f)
  redis.register_function{function_name = name .. '_@HASH@', flags = flags, callback = function(keys, argv)
    P = keys[1]
    return f(argv)
  end}
end

-- An entry point whose first argument names the change: repeated, it answers as the first time. It answers with an array,
-- or refuses without having changed anything.
local function change(name, flags, f)
  entry(name, flags, function(a)
    local known = P .. ':ds:x:' .. a[1]
    local packed = redis.call('GET', known)
    if packed then return cmsgpack.unpack(packed) end
    local answer = f(a)
    if not answer.err then redis.call('SET', known, cmsgpack.pack(answer), 'EX', CHANGE_SECONDS) end
    return answer
  end)
end

-- Blobs

local function chunk(blob, i)
  return P .. ':ds:c:' .. blob .. ':' .. i
end

local function unlink_chunks(blob, n)
  for i = 0, n - 1 do redis.call('UNLINK', chunk(blob, i)) end
end

-- Returns whether all of it is there.
local function keep(blob, it, reference)
  local key = P .. ':ds:b:' .. blob
  if redis.call('EXISTS', key) == 0 then
    local found = 0
    for i = 0, it.n - 1 do
      if redis.call('EXISTS', chunk(blob, i)) == 0 then return false end
      found = found + redis.call('STRLEN', chunk(blob, i))
    end
    if found ~= it.s then return false end
    for i = 0, it.n - 1 do redis.call('PERSIST', chunk(blob, i)) end
    redis.call('HSET', key, 'n', it.n, 's', text_of(it.s), 'h', it.h)
    charge('total', it.s)
  end
  redis.call('HSET', key, '=' .. reference, '1')
  return true
end

-- Returns whether the blob is gone with it.
local function release(blob, reference)
  local key = P .. ':ds:b:' .. blob
  if redis.call('HDEL', key, '=' .. reference) == 0 or redis.call('HLEN', key) > 3 then return false end
  local n, bytes = unpack(redis.call('HMGET', key, 'n', 's'))
  unlink_chunks(blob, tonumber(n))
  redis.call('DEL', key)
  charge('total', -tonumber(bytes))
  return true
end

-- Uploads

local function end_upload(upload)
  local it = load('u', upload)
  if it then
    charge('total', -it.s)
    charge('o ' .. it.o, -it.s)
    redis.call('DEL', P .. ':ds:u:' .. upload)
    redis.call('ZREM', P .. ':ds:uploads', upload)
  end
end

-- n: as many chunks as there may be
local function discard(upload, n)
  end_upload(upload)
  if redis.call('EXISTS', P .. ':ds:b:' .. upload) == 0 then unlink_chunks(upload, n) end
end

-- Their chunks expire at the same time by themselves.
local function end_old_uploads(now)
  local old = redis.call('ZRANGEBYSCORE', P .. ':ds:uploads', '-inf', text_of(now), 'LIMIT', 0, 100)
  for _, upload in ipairs(old) do end_upload(upload) end
  return #old
end

-- upload, data set, owner, bytes, most bytes of all, most bytes of the owner, seconds
entry('reserve', {}, function(a)
  local upload, bytes, most, most_of_owner = a[1], tonumber(a[4]), tonumber(a[5]), tonumber(a[6])
  local now = clock()
  end_old_uploads(now)
  local it = load('u', upload)
  if it then return it.e end
  local rec = load('d', a[2])
  local owner = rec and rec.o or a[3]
  if used('total') + bytes > most then return redis.error_reply('FULL ' .. text_of(used('total'))) end
  if used('o ' .. owner) + bytes > most_of_owner then return redis.error_reply('OWNERFULL ' .. text_of(used('o ' .. owner))) end
  it = {o = owner, s = bytes, e = now + a[7] * 1000000}
  charge('total', bytes)
  charge('o ' .. owner, bytes)
  redis.call('ZADD', P .. ':ds:uploads', text_of(it.e), upload)
  save('u', upload, it)
  return it.e
end)

-- upload, most chunks
entry('discard', {'allow-oom'}, function(a)
  discard(a[1], tonumber(a[2]))
  return 1
end)

-- blob, packed {n, s, h}, reference
entry('keep', {}, function(a)
  if not keep(a[1], cmsgpack.unpack(a[2]), a[3]) then return redis.error_reply('EXPIRED ' .. a[1]) end
  end_upload(a[1])
  return 1
end)

-- blob, reference
entry('release_blob', {'allow-oom'}, function(a)
  return release(a[1], a[2]) and 1 or 0
end)

-- Versions

local function place_of(rec, version)
  for place, it in ipairs(rec and rec.V or {}) do
    if it.i == version then return place end
  end
  return nil
end

local function touch(rec)
  rec.u = math.max(clock(), (rec.u or 0) + 1)
end

local function forget_version(name, rec, it)
  local blob = load('v', it.i).b
  charge('o ' .. rec.o, -it.s)
  if release(blob, name) then
    redis.call('DEL', P .. ':ds:v:' .. it.i)
    for _, job in ipairs(redis.call('SMEMBERS', P .. ':ds:h:' .. it.i)) do
      redis.call('ZREM', P .. ':ds:holds', it.i .. ' ' .. job)
    end
    redis.call('DEL', P .. ':ds:h:' .. it.i)
  end
  redis.call('INCR', P .. ':ds:epoch')
end

-- Leaves the newest versions, and those that jobs use.
local function prune(name, rec, most)
  local kept = {}
  for place, it in ipairs(rec.V) do
    if place <= most or redis.call('EXISTS', P .. ':ds:h:' .. it.i) == 1 then
      kept[#kept + 1] = it
    else
      forget_version(name, rec, it)
    end
  end
  rec.V = kept
end

local function is_among(tags, rec)
  for _, tag in ipairs(tags) do
    if rec and (tag == '*' or tag == text_of(rec.u) or tag == rec.V[1].i) then return true end
  end
  return false
end

-- conditions: packed {y tags of If-Match, n tags of If-None-Match}; a tag is a revision, the newest version, or "*"
local function refusal(rec, conditions)
  local wanted = cmsgpack.unpack(conditions)
  if wanted.y and not is_among(wanted.y, rec) then
    return redis.error_reply('PRECONDITION ' .. (rec and text_of(rec.u) or ''))
  end
  if wanted.n and is_among(wanted.n, rec) then return redis.error_reply('PRESENT ' .. text_of(rec.u)) end
  return nil
end

-- name, conditions
entry('require', {'no-writes'}, function(a)
  return refusal(load('d', a[1]), a[2]) or 1
end)

-- upload, name, owner, version, packed {n, s, h of the blob, f facts, o reading options, r rows, d bytes read},
-- conditions, most versions, most chunks; answers how ("new", "again", "same"), and the record
change('commit', {}, function(a)
  local upload, name, owner, version, new = a[1], a[2], a[3], a[4], cmsgpack.unpack(a[5])
  local rec = load('d', name)
  local refused = refusal(rec, a[6])
  if refused then return refused end
  if not load('u', upload) then return redis.error_reply('EXPIRED ' .. upload) end
  local place = place_of(rec, version)
  if place == 1 then
    discard(upload, tonumber(a[8]))
    return {'same', cmsgpack.pack(rec)}
  end
  local stored = load('v', version)
  if stored then
    keep(stored.b, nil, name)
    new.s = tonumber(redis.call('HGET', P .. ':ds:b:' .. stored.b, 's'))
    discard(upload, tonumber(a[8]))
  else
    -- No bytes: they were thought to be here already, and have gone meanwhile.
    if new.n == 0 or not keep(upload, new, name) then return redis.error_reply('EXPIRED ' .. upload) end
    save('v', version, {b = upload, f = new.f, o = new.o})
    end_upload(upload)
  end
  if not rec then
    rec = {o = owner, c = clock(), V = {}}
    redis.call('ZADD', P .. ':ds:all', 0, name)
    redis.call('ZADD', P .. ':ds:o:' .. owner, 0, name)
  end
  if place then table.remove(rec.V, place) else charge('o ' .. rec.o, new.s) end
  touch(rec)
  table.insert(rec.V, 1, {i = version, c = rec.u, r = new.r, s = new.s, d = new.d})
  prune(name, rec, tonumber(a[7]))
  return {place and 'again' or 'new', save('d', name, rec)}
end)

-- Data sets

local function bytes_of(texts)
  local bytes = 0
  for field, text in pairs(texts) do bytes = bytes + #field + #text end
  return bytes
end

local function charge_texts(rec, bytes)
  local more = bytes - (rec.t or 0)
  charge('total', more)
  charge('o ' .. rec.o, more)
  rec.t = bytes
end

-- Texts of so many bytes in place of those of so many before. What becomes less is never refused.
local function texts_refusal(rec, bytes, before, most_texts, most, most_of_owner)
  if bytes <= before then return nil end
  if bytes > most_texts then return redis.error_reply('TEXTS ' .. text_of(bytes)) end
  local more = bytes - (rec.t or 0)
  if used('total') + more > most then return redis.error_reply('FULL ' .. text_of(used('total'))) end
  if used('o ' .. rec.o) + more > most_of_owner then return redis.error_reply('OWNERFULL ' .. text_of(used('o ' .. rec.o))) end
  return nil
end

-- change, name, packed {s texts to set, d texts to drop, c 1 to drop what is said about columns first}, conditions,
-- most bytes of the texts, most bytes of all, most bytes of the owner
change('describe', {}, function(a)
  local name, wanted = a[2], cmsgpack.unpack(a[3])
  local rec = load('d', name)
  if not rec then return redis.error_reply('ABSENT ' .. name) end
  local refused = refusal(rec, a[4])
  if refused then return refused end
  local key, texts = P .. ':ds:t:' .. name, {}
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do texts[fields[i]] = fields[i + 1] end
  local before, dropped = bytes_of(texts), {}
  if wanted.c then
    for field in pairs(texts) do
      if field:sub(2, 2) == ' ' then dropped[#dropped + 1] = field end
    end
  end
  for _, field in ipairs(wanted.d) do dropped[#dropped + 1] = field end
  for _, field in ipairs(dropped) do texts[field] = nil end
  for field, text in pairs(wanted.s) do texts[field] = text end
  refused = texts_refusal(rec, bytes_of(texts), before, tonumber(a[5]), tonumber(a[6]), tonumber(a[7]))
  if refused then return refused end
  for _, field in ipairs(dropped) do redis.call('HDEL', key, field) end
  for field, text in pairs(wanted.s) do redis.call('HSET', key, field, text) end
  charge_texts(rec, bytes_of(texts))
  touch(rec)
  return {save('d', name, rec)}
end)

local function drop(name, rec)
  charge_texts(rec, 0)
  for _, it in ipairs(rec.V) do forget_version(name, rec, it) end
  redis.call('DEL', P .. ':ds:d:' .. name, P .. ':ds:t:' .. name)
  redis.call('ZREM', P .. ':ds:all', name)
  redis.call('ZREM', P .. ':ds:o:' .. rec.o, name)
end

-- change, name, conditions
change('delete', {'allow-oom'}, function(a)
  local name = a[2]
  local rec = load('d', name)
  if not rec then return redis.error_reply('ABSENT ' .. name) end
  local refused = refusal(rec, a[3])
  if refused then return refused end
  drop(name, rec)
  return {'deleted'}
end)

-- Jobs that use a version

-- name, version ("" for the newest), job, until when; answers the version and the texts
entry('hold', {'allow-oom'}, function(a)
  local rec, version, job = load('d', a[1]), a[2], a[3]
  if not rec then return redis.error_reply('ABSENT ' .. a[1]) end
  if version == '' then version = rec.V[1].i end
  if not place_of(rec, version) then return redis.error_reply('NOVERSION ' .. version) end
  redis.call('SADD', P .. ':ds:h:' .. version, job)
  redis.call('ZADD', P .. ':ds:holds', 'GT', a[4], version .. ' ' .. job)
  return {version, redis.call('HGETALL', P .. ':ds:t:' .. a[1])}
end)

local function let_go(version, job, most)
  redis.call('ZREM', P .. ':ds:holds', version .. ' ' .. job)
  local held = P .. ':ds:h:' .. version
  if redis.call('SREM', held, job) == 0 or redis.call('EXISTS', held) == 1 then return end
  for _, field in ipairs(redis.call('HKEYS', P .. ':ds:b:' .. load('v', version).b)) do
    if field:sub(1, 1) == '=' then
      local name = field:sub(2)
      local rec = load('d', name)
      local before = #rec.V
      prune(name, rec, most)
      if #rec.V < before then
        touch(rec)
        save('d', name, rec)
      end
    end
  end
end

-- version, job, most versions
entry('let_go', {'allow-oom'}, function(a)
  let_go(a[1], a[2], tonumber(a[3]))
  return 1
end)

-- most versions; answers whether there may be more to do
entry('sweep', {'allow-oom'}, function(a)
  local now = clock()
  redis.call('ZADD', P .. ':libs', text_of(now), 'datasets_@HASH@')
  local uploads = end_old_uploads(now)
  local over = redis.call('ZRANGEBYSCORE', P .. ':ds:holds', '-inf', text_of(now), 'LIMIT', 0, 200)
  for _, hold in ipairs(over) do
    local version, job = hold:match('^(%S+) (.*)$')
    let_go(version, job, tonumber(a[1]))
  end
  return (uploads == 100 or #over == 200) and 1 or 0
end)

-- Reading

entry('get', {'no-writes'}, function(a)
  local packed = redis.call('GET', P .. ':ds:d:' .. a[1])
  return packed and {packed, redis.call('HGETALL', P .. ':ds:t:' .. a[1])}
end)

-- name, version ("" for the newest); answers the entry in the record, the version, and the blob's n, s, h
entry('version', {'no-writes'}, function(a)
  local rec = load('d', a[1])
  if not rec then return redis.error_reply('ABSENT ' .. a[1]) end
  local place = a[2] == '' and 1 or place_of(rec, a[2])
  if not place then return redis.error_reply('NOVERSION ' .. a[2]) end
  local packed = redis.call('GET', P .. ':ds:v:' .. rec.V[place].i)
  local blob = cmsgpack.unpack(packed).b
  return {cmsgpack.pack(rec.V[place]), packed, unpack(redis.call('HMGET', P .. ':ds:b:' .. blob, 's', 'h'))}
end)

-- index (":all" or ":o:<owner>"), least and greatest name as ZRANGEBYLEX has them, most names
entry('list', {'no-writes'}, function(a)
  local found = {}
  for _, name in ipairs(redis.call('ZRANGEBYLEX', P .. ':ds' .. a[1], a[2], a[3], 'LIMIT', 0, a[4])) do
    found[#found + 1] = {name, redis.call('GET', P .. ':ds:d:' .. name),
                         redis.call('HMGET', P .. ':ds:t:' .. name, 'title', 'description', 'licence', 'source')}
  end
  return found
end)

-- Those of the versions that no data set has.
entry('missing', {'no-writes'}, function(a)
  local gone = {}
  for _, version in ipairs(a) do
    if redis.call('EXISTS', P .. ':ds:v:' .. version) == 0 then gone[#gone + 1] = version end
  end
  return gone
end)
