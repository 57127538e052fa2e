-- From submission to the end of an attempt. A part of the library that begins in jobs.lua.

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

local function dismiss(id, rec, now)
  if rec.s == 'R' then
    count_attempt(rec, 'dismissed', now)
    drop_hold(rec)
    redis.call('PUBLISH', P .. ':ctl:' .. rec.h:match('^(.+)%.%d+$'), token_of(rec))
  else
    unqueue(id, rec)
  end
  conclude(id, rec, 'D', now)
end

entry('dismiss', {'allow-oom'}, function(a)
  local id = a[1]
  local rec = load(id)
  if not rec then return false end
  if not FINAL[rec.s] then dismiss(id, rec, clock()) end
  return redis.call('GET', P .. ':j:' .. id)
end)

entry('delete', {'allow-oom'}, function(a)
  local rec = load(a[1])
  if not rec then return 'absent' end
  if not FINAL[rec.s] then return 'unfinished' end
  forget(a[1], rec)
  return 'deleted'
end)
