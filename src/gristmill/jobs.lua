#!lua name=gristmill_@HASH@
--[[
The job engine: every change of state is one call of a function of this library, so it is atomic.

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
:facts         hash    reference -> facts of a release or worker     facts, beat                sweep, long unnamed
:factsage      zset    reference -> when it was last named           facts, beat                sweep, long unnamed
:stats         hash    <process>|<end>|<bucket> -> attempts,         ends                       never
                       <process>|us -> time they took
:cb            zset    call-back -> when it is due                   transitions, call_backs    when delivered or given up
:cbd           hash    call-back -> packed {url, owner, job, status, transitions, call_backs    when delivered or given up
                       created, tries}
:secret        hash    owner -> signing secret of its call-backs     secret                     never
:libs          zset    hash of a version of this library -> when a   beat                       with the library, unnamed a day
                       heartbeat last named it
channels       :ev:<job> "<revision> <status> <progress>" at every change; :ctl:<worker> a token that has died

Fields of a record; what is not needed after the end is dropped then:
p process  o owner  s status (A R S F D)  c created  m updated  u revision  g progress  t message
b begun, e ended: times while the job is under way, since c once it has ended
q queue, until the end  y urgency when < 3  h child of the last attempt  a attempts claimed (token = a.h)
i inputs or I "<blob>,<chunks>,<bytes>"  r packed outputs  B blobs of the outputs, zr their bytes
z bytes in blobs  zb bytes counted for the owner so far
f facts of the accepting release  w facts of the running one when they differ
n end  d detail  x equal-work digest  j job it has joined  k job it is a copy of  l 1 while it counts in :running
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

-- Ends and transitions

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

-- Claiming

local function attempt_of(id, rec)
  local release = rec.w and redis.call('HGET', P .. ':facts', rec.f) or ''
  return {id, token_of(rec), rec.a, rec.p, rec.o, rec.i or '', rec.I or '', release, rec.rq or '', rec.R or 0, rec.q:match('@(.-)@')}
end

local function expire_in_queue(id, rec, now)
  fail(id, rec, 'expired-in-queue', 'The job waited longer in the queue than its process allows.', now)
end

-- What the child holds: its attempt, or why it may not claim ("unregistered", "dead"), or nil.
local function held_by(child)
  local worker, n = child:match('^(.+)%.(%d+)$')
  local held = redis.call('HMGET', P .. ':h:' .. worker, '0', n)
  if not held[1] then return 'unregistered' end
  if not held[2] then return nil end
  if held[2]:sub(1, 1) == 'x' then return 'dead' end
  local id = held[2]:gsub('%?$', '')
  local rec = load(id)
  if rec and rec.s == 'R' and rec.h == child then
    if id ~= held[2] then redis.call('HSET', P .. ':h:' .. worker, n, id) end
    return attempt_of(id, rec)
  end
  redis.call('HDEL', P .. ':h:' .. worker, n)
  return nil
end

-- The queue to take from: of those that the worker may take from, the one whose head owner has the lowest turn,
-- of these the one with the oldest job.
local function choose(queues, paused, offers, release)
  local best, age
  for _, queue in ipairs(queues) do
    local limit, facts, process = eligible(queue, offers, release)
    if limit and not paused[process] and not paused['*']
        and (limit == 0 or (tonumber(redis.call('HGET', P .. ':running', process)) or 0) < limit) then
      local head = redis.call('ZRANGE', P .. ':t:' .. queue, 0, 1, 'WITHSCORES')
      local it = {queue = queue, name = head[1], turn = tonumber(head[2]), limit = limit, facts = facts, process = process,
                  is_alone = #queues == 1 and #head == 2}
      if best and it.turn == best.turn then
        local function oldest(of)
          local head = redis.call('ZRANGE', P .. ':q:' .. of.queue .. '|' .. of.name, 0, 0, 'WITHSCORES')
          return tonumber(head[2]) % URGENT   -- without the urgency, which is nothing between owners
        end
        age = age or oldest(best)
        local its = oldest(it)
        if its < age then best, age = it, its end
      elseif not best or it.turn < best.turn then
        best, age = it, nil
      end
    end
  end
  return best
end

-- Returns the attempt, or nil where there is nothing to take.
local function take(child, offers, release, now)
  for _ = 1, 100 do   -- more than once only past jobs that have expired in the queue
    local queues, paused, v = look(redis.call('HGETALL', P .. ':c'))
    local from = choose(queues, paused, offers, release)
    if not from then return nil end
    local mine = P .. ':q:' .. from.queue .. '|' .. from.name
    local id = redis.call('ZPOPMIN', mine)[1]
    local rec = load(id)
    if redis.call('EXISTS', mine) == 0 then leave_queue(from.queue, from.name) end
    if rec.qs and rec.qs < now and not rec.a then
      expire_in_queue(id, rec, now)
    else
      local owner = owner_of(rec)
      if not from.is_alone then   -- one who is alone needs no turns, and whoever comes then begins level
        if from.turn > v then
          v = from.turn
          redis.call('HSET', P .. ':c', 'v', text_of(v))
        end
        owner.t = v + 1
        for _, queue in ipairs(owner.q) do redis.call('ZADD', P .. ':t:' .. queue, text_of(owner.t), from.name) end
      end
      if from.limit > 0 then
        redis.call('HINCRBY', P .. ':running', from.process, 1)
        rec.l = 1
      end
      rec.s, rec.b, rec.h, rec.a, rec.g, rec.t = 'R', now, child, (rec.a or 0) + 1, nil, nil
      rec.w = from.facts ~= rec.f and from.facts or nil
      announce(id, rec, now)
      call_back(id, rec, now)
      local worker, n = child:match('^(.+)%.(%d+)$')
      redis.call('HSET', P .. ':h:' .. worker, n, id)
      save(id, rec)
      return attempt_of(id, rec)
    end
  end
  return nil
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

-- The answer to a submission that is repeated because its first reply was lost.
local function sent_before(id, packed)
  local rec = cmsgpack.unpack(packed)
  return {rec.k and rec.s == 'S' and 'copied' or rec.j and 'joined' or 'new', id, packed}
end

-- id, process, owner, inputs, queue, facts, "<most jobs> <most bytes> <kept ms>", packed rest or "":
-- request, urgency, equal, queue_seconds, subscriber, key, body, blob
entry('submit', {}, function(a)
  local id, process, owner_name, inputs, queue, facts = a[1], a[2], a[3], a[4], a[5], a[6]
  local most_jobs, most_bytes, kept_ms = a[7]:match('(%d+) (%d+) (%d+)')
  local more = a[8] ~= '' and cmsgpack.unpack(a[8]) or {}
  local equal, idempotency, body, inputs_blob = more.equal, more.key, more.body, more.blob
  local now = clock()
  local packed
  if idempotency then
    local seen = redis.call('GET', P .. ':i:' .. idempotency)
    if seen then
      local first = seen:sub(9)
      if seen:sub(1, 8) ~= body then return redis.error_reply('MISMATCH the body differs') end
      local earlier = redis.call('GET', P .. ':j:' .. first)
      if not earlier then return redis.error_reply('GONE ' .. first) end
      if first == id then return sent_before(id, earlier) end
      return {'replayed', first, earlier}
    end
  end
  local rec = {p = process, o = owner_name, s = 'A', c = now, u = 1, f = facts, q = queue}
  local owner = owner_of(rec)
  local bytes = #inputs
  if inputs_blob then bytes = bytes + tonumber(inputs_blob:match('%d+$')) end
  local refusal = owner.n >= tonumber(most_jobs) and 'TOOMANY ' .. owner.n
      or owner.b + bytes > tonumber(most_bytes) and 'OWNERFULL ' .. owner.b
  if refusal then   -- the job itself may be the one that took the last place
    packed = redis.call('GET', P .. ':j:' .. id)
    return packed and sent_before(id, packed) or redis.error_reply(refusal)
  end
  if inputs_blob then
    local names, total = keep_blobs(inputs_blob)
    if not names then return redis.error_reply('EXPIRED the inputs took too long to arrive') end
    rec.I, rec.z = inputs_blob, total
  else
    rec.i = inputs
  end
  rec.rq, rec.y, rec.cb, rec.zb = more.request, more.urgency, more.subscriber, bytes
  local how, source, first = 'new', nil, nil
  if equal then
    rec.x = equal
    first = redis.call('GET', P .. ':e:' .. equal)
    source = first and first ~= id and load(first)
    if source and source.s == 'S' then
      how = 'copied'
    elseif source and not FINAL[source.s] and redis.call('SCARD', P .. ':join:' .. first) < 100 then
      how, rec.j = 'joined', first
    end
  end
  if more.queue_seconds then rec.qs = now + more.queue_seconds * 1000000 end
  packed = cmsgpack.pack(rec)
  if not redis.call('SET', P .. ':j:' .. id, packed, 'NX') then
    return sent_before(id, redis.call('GET', P .. ':j:' .. id))
  end
  owner.n, owner.b = owner.n + 1, owner.b + bytes
  local created = text_of(now)
  redis.call('ZADD', P .. ':all', created, id)
  redis.call('ZADD', P .. ':o:' .. owner_name, created, id)
  redis.call('ZADD', P .. ':p:' .. process, created, id)
  if idempotency then redis.call('SET', P .. ':i:' .. idempotency, body .. id, 'EX', 86400) end
  if how == 'copied' then
    rec.b, rec.x, rec.qs = now, nil, nil
    copy_result(rec, source, first)
    return {how, id, conclude(id, rec, 'S', now)}
  end
  if rec.qs then redis.call('ZADD', P .. ':due', rec.qs, id) end
  if how == 'joined' then
    redis.call('SADD', P .. ':join:' .. first, id)
  else
    if equal then redis.call('SET', P .. ':e:' .. equal, id, 'PX', kept_ms) end
    enqueue(id, rec, false)
  end
  return {how, id, now}   -- the caller knows the rest
end)

-- For a child that has popped a token: it puts the next one for every queue that it leaves jobs in.
entry('claim', {'allow-oom'}, function(a)
  local held = held_by(a[1])
  if held then return held end
  local attempt = take(a[1], a[2], a[3], clock())
  if attempt then
    for _, queue in ipairs(ready_queues()) do wake(queue) end
  end
  return attempt or false
end)

-- id, token, status S or F, outputs, blobs, end, detail, retry after (us or ""), log, child, offers ("" to claim nothing), release, result room
entry('finish', {'allow-oom'}, function(a)
  local id, token, status, outputs, blobs, how, detail, retry_us, log = a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9]
  local child, offers, release, most_bytes = a[10], a[11], a[12], tonumber(a[13])
  local now = clock()
  local rec = load(id)
  if not rec or token_of(rec) ~= token or rec.K or rec.s == 'D' then return redis.error_reply('LOST ' .. id) end
  local running = rec.s == 'R'
  if running then
    keep_log(id, rec, log)
    count_attempt(rec, status == 'S' and 'successful' or how, now)
    local owner = owner_of(rec)
    if status == 'S' then
      local names, total = keep_blobs(blobs)
      if names and owner.b + #outputs + total > most_bytes then
        count_blobs(names, -1)
        names = nil
        detail = 'The owner has no room left for a result of ' .. (#outputs + total) .. ' bytes; delete finished jobs.'
      end
      if not names then
        fail(id, rec, 'result-not-stored', detail ~= '' and detail or 'The result could not be stored.', now)
      else
        rec.r = outputs
        if #names > 0 then
          rec.B, rec.zr, rec.z = names, total, (rec.z or 0) + total
        end
        conclude(id, rec, 'S', now)
      end
    elseif retry_us ~= '' then
      release_run(rec)
      rec.R = (rec.R or 0) + 1
      rec.s, rec.t, rec.b, rec.g = 'A', detail, nil, nil
      redis.call('ZADD', P .. ':delayed', now + tonumber(retry_us), id)
      announce(id, rec, now)
      save(id, rec)
    else
      fail(id, rec, how, detail, now)
    end
  end
  if not running then   -- repeated: the child may hold what the first call claimed
    local held = offers ~= '' and held_by(child)
    if held then return held end
  end
  local attempt = offers ~= '' and take(child, offers, release, now)
  if not attempt and running then drop_hold({h = child}) end
  return attempt or false
end)

entry('progress', {'allow-oom'}, function(a)
  local rec = load(a[1])
  if not rec or rec.s ~= 'R' or token_of(rec) ~= a[2] then return redis.error_reply('LOST ' .. a[1]) end
  rec.g, rec.t = tonumber(a[3]), a[4] ~= '' and a[4] or nil
  announce(a[1], rec, clock())
  save(a[1], rec)
  return 1
end)

-- The child's name never claims again. Its worker may be gone itself: then nobody else removes the mark.
local function bury(worker, n, now)
  local held = P .. ':h:' .. worker
  redis.call('HSET', held, n, 'x' .. text_of(now))
  if redis.call('HEXISTS', held, '0') == 0 then redis.call('EXPIRE', held, 600) end
end

-- Settles what a dead child held: child, "hand-back" or an end, detail, log, limit of hand-backs
entry('settle', {'allow-oom'}, function(a)
  local child, how, detail, log = a[1], a[2], a[3], a[4]
  local now = clock()
  local worker, n = child:match('^(.+)%.(%d+)$')
  local held = redis.call('HGET', P .. ':h:' .. worker, n)
  if held and held:sub(1, 1) ~= 'x' then
    local id = held:gsub('%?$', '')
    local rec = load(id)
    if rec and rec.s == 'R' and rec.h == child then
      keep_log(id, rec, log)
      if how == 'hand-back' then
        hand_over(id, rec, tonumber(a[5]), now)
      else
        count_attempt(rec, how, now)
        rec.C = (rec.C or 0) + (how == 'crashed' and 1 or 0)
        if how == 'crashed' and rec.C < LIMIT_CRASHES then
          requeue(id, rec, detail, now)
        else
          fail_for(id, rec, how, detail, now)
        end
      end
      bury(worker, n, now)
      return id
    end
  end
  bury(worker, n, now)
  return ''
end)

entry('dismiss', {'allow-oom'}, function(a)
  local id, now = a[1], clock()
  local rec = load(id)
  if not rec then return false end
  if not FINAL[rec.s] then
    if rec.s == 'R' then
      count_attempt(rec, 'dismissed', now)
      drop_hold(rec)
      redis.call('PUBLISH', P .. ':ctl:' .. rec.h:match('^(.+)%.%d+$'), token_of(rec))
    else
      unqueue(id, rec)
    end
    conclude(id, rec, 'D', now)
  end
  return redis.call('GET', P .. ':j:' .. id)
end)

entry('delete', {'allow-oom'}, function(a)
  local rec = load(a[1])
  if not rec then return 'absent' end
  if not FINAL[rec.s] then return 'unfinished' end
  forget(a[1], rec)
  return 'deleted'
end)

-- Workers

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

-- Reading

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

entry('pause', {'allow-oom'}, function(a)
  redis.call('HSETNX', P .. ':c', 'p ' .. a[1], text_of(clock()))
  return 1
end)

entry('resume', {'allow-oom'}, function(a)
  redis.call('HDEL', P .. ':c', 'p ' .. a[1])
  for _, queue in ipairs(ready_queues()) do wake(queue) end
  return 1
end)
