-- Which restore has the system. A part of the libraries of jobs and of data sets.

-- Two restores at once would mix what they restore. So one has the system as long as it shows that it lives; and one
-- that has not for so long that another has come, and perhaps gone again, does not go on.
local LEASE_MS = 15000

local function is_overtaken(run)
  if redis.call('HGET', P .. ':restored', 'run') ~= run then return true end
  redis.call('SET', P .. ':restoring', run, 'PX', LEASE_MS)
  return false
end

local OVERTAKEN = 'OVERTAKEN another restore has begun'
