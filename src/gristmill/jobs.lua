#!lua name=gristmill_@HASH@
--[[
The job engine: every change of state is one call of a function of this library, so it is atomic.

The library is this file and, behind it in this order, jobs_ends.lua (how jobs end, or run again), jobs_attempts.lua
(submission, claim, finish and what comes between), jobs_workers.lua (heartbeats, sweeps, pauses), jobs_reading.lua
(answers that change nothing, and call-backs) and jobs_backup.lua (copying and restoring).

Every key starts with a prefix (KEYS[1], "{g0}" by default). Times are microseconds of Redis' own clock (TIME).
"sweep" deletes what has expired in batches; only keys marked TTL expire by themselves.

key            type    what                                          written by                 goes
:j:<job>       string  the job's record, packed (fields below)       every function             sweep, retention after its end; delete
:all           zset    job -> time of creation                       submit                     with the job
:o:<owner>     zset    the same, the jobs of one owner               submit                     with the job
:p:<process>   zset    the same, the jobs of one process             submit                     with the job
:c             hash    what a claim looks at: v virtual time of fair  claim                      never
                       queueing; "q <queue>" 1 for each queue with   enqueue, claim             with its last ready job
                       ready jobs; "p <process>" (or "p *") since    pause                      resume
                       when it is paused. A queue is
                       <process>@<interface>@<release>
:s             hash    s time of the last sweep, x expiry cursor     sweep, expire              never
:owners        hash    owner -> packed {t turn, n unfinished jobs,   submit, claim, ends        when n and b are 0
                       b stored bytes, q its queues with ready jobs}
:t:<queue>     zset    owner -> turn; the lowest turn is next        enqueue, claim             with its last ready job
:q:<queue>|<owner> zset job -> place among its owner's jobs          enqueue, claim             with its last ready job
:wake:<process>@<interface> list  at most one token: "there is       enqueue, claim, sweep      popped by an idle child
                       work"; idle children block on it
:delayed       zset    job -> time when it is ready (retries)        finish                     sweep, when due
:due           zset    job -> latest time to leave the queue         submit                     any end; sweep
:nowork        hash    queue -> since when no live worker takes it   sweep                      sweep
:running       hash    process -> runs, of those with a limit        claim, ends                at 0
:workers       zset    worker -> end of its lease                    beat                       leave, sweep
:w:<worker>    string  packed description from its last heartbeat    beat                       leave, sweep
:h:<worker>    hash    child number -> job that it holds ("?" once   beat, claim, ends          leave, sweep
                       unlisted), "x<time>" dead child, "0" worker
:e:<digest>    string  job that does this equal work       TTL       submit                     retention; an end but success
:join:<job>    set     jobs that wait for this one's result          submit                     end of the job
:i:<digest>    string  8 bytes of the body's digest, job;  TTL   submit                     24 h
:l:<job>       string  what its attempts printed last                finish, settle             with the job
:b:<blob>      string  packed {n chunks, s bytes, r references}      submit, finish             with its last reference
:b:<blob>:<i>  string  a chunk of at most 1 MB; TTL until it         put (Python's SET)         with its last reference
                       belongs to a job
:facts         hash    reference -> facts of a release or worker;    facts, beat                sweep, long unnamed
                       process version -> source hash, declared version
:factsage      zset    reference -> when it was last named           facts, beat                sweep, long unnamed
:stats         hash    <process>|<end>|<bucket> -> attempts,         ends                       never
                       <process>|us -> time they took
:cb            zset    call-back -> when it is due                   transitions, call_backs    when delivered or given up
:cbd           hash    call-back -> packed {url, owner, job, status, transitions, call_backs    when delivered or given up
                       created, tries}
:secret        hash    owner -> signing secret of its call-backs     secret                     never
:libs          zset    hash of a version of this library -> when a   beat                       with the library, unnamed a day
                       heartbeat last named it
:restored      hash    backup that was restored here last, begun,    restore_begin, restore_end  with the next
                       ended (both times), run that began last and
                       when: taken
:restoring     string  run of the restore that goes on; TTL          restore_begin               restore_release
:r:<run>:<key> string  what a restore is going to put at :<key>; TTL restore_stage               restore
channels       :ev:<job> "<revision> <status> <progress>" at every change; :ctl:<worker> a token that has died

Fields of a record; what is not needed after the end is dropped then:
p process  o owner  s status (A R S F D)  c created  m updated  u revision  g progress  t message
b begun, e ended: times while the job is under way, since c once it has ended
q queue, until the end  y urgency when < 3  h child of the last attempt  a attempts claimed (token = a.h)
i inputs or I "<blob>,<chunks>,<bytes>"  r packed outputs  B blobs of the outputs, zr their bytes
z bytes in blobs  zb bytes counted for the owner so far
f facts of the accepting release  w facts of the running one when they differ
n end  d detail  x equal-work digest  j job it has joined  l 1 while it counts in :running
k job it is a copy of  km who made the result: its attempts, child and facts, begin and end; for that job may go first
rq request  cb subscriber URLs, as JSON  R retries  L losses  C crashes  H hand-backs  lg bytes of log
K 1 when the token died before the end  qs latest time to leave the queue
]]

local BUCKETS = {0.01, 0.1, 1, 10, 60, 600}
local FINAL = {S = true, F = true, D = true}
local NAMES = {A = 'accepted', R = 'running', S = 'successful', F = 'failed', D = 'dismissed'}
-- Ends that say something about the work itself, so that equal work would end alike.
local OWN_FAULT = {['process-failed'] = true, ['timed-out'] = true, ['out-of-memory'] = true, ['out-of-disk'] = true,
                   crashed = true, ['invalid-inputs'] = true}
local URGENT = 1e15   -- above any age of a queue in microseconds, so that urgency goes before time

-- Set by every entry point for the length of one call:
local P               -- the prefix
local O               -- owner -> {packed as it was read, it}

-- Lua's own conversion to text keeps 14 digits; a time has 16. "%d" is quicker, but needs a long of 64 bits.
local whole   -- found at the first use: while a library is being loaded, there is no "string"
local function text_of(number)
  whole = whole or (string.format('%d', 2^52) == '4503599627370496' and '%d' or '%.0f')
  return string.format(whole, number)
end

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

local function load(id)
  local packed = redis.call('GET', P .. ':j:' .. id)
  return packed and cmsgpack.unpack(packed) or nil
end

local function save(id, rec)
  local packed = cmsgpack.pack(rec)
  redis.call('SET', P .. ':j:' .. id, packed)
  return packed
end

local function token_of(rec)
  return rec.h and (rec.a .. '.' .. rec.h) or ''
end

local function announce(id, rec, now)
  rec.u = rec.u + 1
  rec.m = now
  redis.call('PUBLISH', P .. ':ev:' .. id, rec.u .. ' ' .. NAMES[rec.s] .. ' ' .. (rec.s == 'S' and 100 or rec.g or 0))
end

-- Owners: read once a call, written once at its end

local function owner_of(rec)
  local known = O[rec.o]
  if not known then
    local packed = redis.call('HGET', P .. ':owners', rec.o)
    known = {packed = packed, it = packed and cmsgpack.unpack(packed) or {t = 0, n = 0, b = 0, q = {}}}
    O[rec.o] = known
  end
  return known.it
end

local function save_owners()
  for name, known in pairs(O) do
    if known.it.n <= 0 and known.it.b <= 0 then
      redis.call('HDEL', P .. ':owners', name)
    else
      local packed = cmsgpack.pack(known.it)
      if packed ~= known.packed then redis.call('HSET', P .. ':owners', name, packed) end
    end
  end
end

-- Blobs

local function keep_blob(blob, chunks, bytes)
  for i = 0, chunks - 1 do
    local chunk = P .. ':b:' .. blob .. ':' .. i
    if redis.call('PERSIST', chunk) == 0 and redis.call('EXISTS', chunk) == 0 then
      for other = 0, chunks - 1 do redis.call('UNLINK', P .. ':b:' .. blob .. ':' .. other) end
      return false
    end
  end
  redis.call('SET', P .. ':b:' .. blob, cmsgpack.pack({n = chunks, s = bytes, r = 1}))
  return true
end

-- blobs: an array of names; by +1 or -1
local function count_blobs(blobs, by)
  for _, blob in ipairs(blobs or {}) do
    local packed = redis.call('GET', P .. ':b:' .. blob)
    if packed then
      local meta = cmsgpack.unpack(packed)
      meta.r = meta.r + by
      if meta.r > 0 then
        redis.call('SET', P .. ':b:' .. blob, cmsgpack.pack(meta))
      else
        for i = 0, meta.n - 1 do redis.call('UNLINK', P .. ':b:' .. blob .. ':' .. i) end
        redis.call('DEL', P .. ':b:' .. blob)
      end
    end
  end
end

-- "<blob>,<chunks>,<bytes>;..." -> their names and total bytes, or nil when a chunk is gone
local function keep_blobs(text)
  local names, total = {}, 0
  for blob, chunks, bytes in text:gmatch('([^,;]+),(%d+),(%d+)') do
    if not keep_blob(blob, tonumber(chunks), tonumber(bytes)) then
      count_blobs(names, -1)
      return nil
    end
    names[#names + 1] = blob
    total = total + tonumber(bytes)
  end
  return names, total
end

-- The queue

local function wake(queue)
  local process, interface = queue:match('^(.-)@(.-)@')
  local list = P .. ':wake:' .. process .. '@' .. interface
  if redis.call('LLEN', list) == 0 then redis.call('RPUSH', list, '1') end
end

local function place_of(rec)
  return rec.c - (3 - (rec.y or 3)) * URGENT
end

-- The names of what :c has under a letter ("q" ready queues, "p" paused processes), and the virtual time.
local function look(fields)
  local queues, paused, v = {}, {}, 0
  for i = 1, #fields, 2 do
    local kind, name = fields[i]:sub(1, 2), fields[i]:sub(3)
    if kind == 'q ' then queues[#queues + 1] = name
    elseif kind == 'p ' then paused[name] = true
    else v = tonumber(fields[i + 1]) end
  end
  return queues, paused, v
end

local function ready_queues()
  return (look(redis.call('HGETALL', P .. ':c')))
end

-- first: ahead of every other owner, as for a job whose worker was lost
local function enqueue(id, rec, first)
  local owner = owner_of(rec)
  local turns = P .. ':t:' .. rec.q
  redis.call('ZADD', P .. ':q:' .. rec.q .. '|' .. rec.o, text_of(place_of(rec)), id)
  if first or #owner.q == 0 then
    local v = tonumber(redis.call('HGET', P .. ':c', 'v')) or 0
    if first then
      local head = redis.call('ZRANGE', turns, 0, 0, 'WITHSCORES')
      owner.t = math.min(owner.t, v, head[2] and tonumber(head[2]) - 1 or v)
    else
      owner.t = math.max(owner.t, v)
    end
  end
  local known = false
  for _, queue in ipairs(owner.q) do
    if queue == rec.q then known = true elseif first then redis.call('ZADD', P .. ':t:' .. queue, owner.t, rec.o) end
  end
  if not known then owner.q[#owner.q + 1] = rec.q end
  if first or not known then redis.call('ZADD', turns, owner.t, rec.o) end
  -- A queue that had ready jobs has a token out already, or a child on its way that will put the next.
  if not known and redis.call('HSET', P .. ':c', 'q ' .. rec.q, 1) == 1 or first then wake(rec.q) end
end

local function leave_queue(queue, name)
  redis.call('ZREM', P .. ':t:' .. queue, name)
  local owner = owner_of({o = name})
  for i, q in ipairs(owner.q) do
    if q == queue then table.remove(owner.q, i) break end
  end
  if redis.call('EXISTS', P .. ':t:' .. queue) == 0 then
    redis.call('HDEL', P .. ':c', 'q ' .. queue)
    redis.call('HDEL', P .. ':nowork', queue)
  end
end

-- Takes an accepted job out of wherever it waits.
local function unqueue(id, rec)
  local mine = P .. ':q:' .. rec.q .. '|' .. rec.o
  if redis.call('ZREM', mine, id) == 1 then
    if redis.call('EXISTS', mine) == 0 then leave_queue(rec.q, rec.o) end
  else
    redis.call('ZREM', P .. ':delayed', id)
  end
  if rec.j then redis.call('SREM', P .. ':join:' .. rec.j, id) end
end

-- offers: ",<process>@<interface>#<limit>!<facts>,..." of a worker of this release.
-- Returns the limit of concurrent runs and the facts' reference, or nil when the worker may not take the queue's jobs.
local function eligible(queue, offers, release)
  local process, interface, accepted_by = queue:match('^(.-)@(.-)@(.*)$')
  local found = offers:find(',' .. process .. '@' .. interface .. '#', 1, true)
  if not found and accepted_by < release then found = offers:find(',' .. process .. '@', 1, true) end
  if not found then return nil end
  local limit, facts = offers:match('#(%d+)!([^,]*),', found)
  return tonumber(limit), facts, process
end

-- Entry points

local function entry(name, flags, f)
  redis.register_function{function_name = name .. '_@HASH@', flags = flags, callback = function(keys, argv)
    P, O = keys[1], {}
    local answer = f(argv)
    save_owners()
    return answer
  end}
end
