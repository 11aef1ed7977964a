#!lua name=miaosha_v2

-- The gate of a sale and its people cap, each function one atomic step on the keys of one sale. The promises are those of
-- the ports `Gate` and `PeopleCap`; a model of the gate in Rust is run against this file. Repeating a call is harmless.
--
-- Other versions of the program may use the same Redis: whoever changes what a function does or takes also changes the
-- version in the names, and whoever changes what the keys hold, that in the keys.
--
-- Ids are strings from end to end: numbers here are exact up to 2^53 only, and ids are not.

local KEEP_S = 24 * 60 * 60
local LEASE_MS = 10 * 1000

-- `unpack` puts its items on a stack that holds 8,000.
local CHUNK = 4000

-- The keys of a gate, in the order in which they are given.
local LIMIT, CLAIMS, IN_FLIGHT, REFUSED = 1, 2, 3, 4

local function call_with(command, key, items)
  for first = 1, #items, CHUNK do
    redis.call(command, key, unpack(items, first, math.min(first + CHUNK - 1, #items)))
  end
end

local function are_members(key, users)
  if #users <= CHUNK then
    return redis.call('SMISMEMBER', key, unpack(users))
  end
  local flags = {}
  for first = 1, #users, CHUNK do
    local some = redis.call('SMISMEMBER', key, unpack(users, first, math.min(first + CHUNK - 1, #users)))
    for i = 1, #some do
      flags[first + i - 1] = some[i]
    end
  end
  return flags
end

local function keep(keys)
  for i = 1, #keys do
    redis.call('EXPIRE', keys[i], KEEP_S)
  end
end

local function count_people(keys)
  return redis.call('SCARD', keys[CLAIMS]) + redis.call('SCARD', keys[IN_FLIGHT])
end

-- Takes users. Gives for each of them, in order, a '0' who does not pass, a '2' who is in flight by this very call, a '1' who
-- was in one of the sets before; nothing if the sale is not known.
local function admit(keys, users)
  local people_max = redis.call('HGET', keys[LIMIT], 'people_max')
  if not people_max then
    return false
  end
  people_max = tonumber(people_max)
  if #users == 0 then
    return ''
  end
  local has_claim = are_members(keys[CLAIMS], users)
  local is_in_flight = are_members(keys[IN_FLIGHT], users)
  local people = count_people(keys)
  local verdicts, passing, full, newcomers, is_newcomer = {}, {}, {}, {}, {}
  for i = 1, #users do
    local user = users[i]
    local is_known = has_claim[i] == 1 or is_in_flight[i] == 1
    if not is_known and not is_newcomer[user] and people < people_max then
      people = people + 1
      is_newcomer[user] = true
      newcomers[#newcomers + 1] = user
    end
    if is_known or is_newcomer[user] then
      verdicts[i] = is_known and '1' or '2'
      passing[#passing + 1] = user
    else
      verdicts[i] = '0'
      full[#full + 1] = user
    end
  end
  call_with('SADD', keys[IN_FLIGHT], newcomers)
  call_with('SREM', keys[REFUSED], passing)
  call_with('SADD', keys[REFUSED], full)
  keep(keys)
  return table.concat(verdicts)
end

local function add_claims(keys, users)
  call_with('SADD', keys[CLAIMS], users)
  call_with('SREM', keys[IN_FLIGHT], users)
  call_with('SREM', keys[REFUSED], users)
end

-- Takes version, people_max, the number of claims, the users of the claims, and those rejected. Gives how many claims
-- there are, and 1 if a newcomer would be refused; nothing if the sale is not known.
local function update(keys, args)
  local known = redis.call('HMGET', keys[LIMIT], 'version', 'people_max')
  if not known[1] then
    return false
  end
  local people_max, count = known[2], tonumber(args[3])
  local users, rejected = {}, {}
  for i = 4, 3 + count do
    users[#users + 1] = args[i]
  end
  for i = 4 + count, #args do
    rejected[#rejected + 1] = args[i]
  end
  add_claims(keys, users)
  call_with('SREM', keys[IN_FLIGHT], rejected)
  call_with('SADD', keys[REFUSED], rejected)
  if tonumber(args[1]) >= tonumber(known[1]) then
    people_max = args[2]
    redis.call('HSET', keys[LIMIT], 'version', args[1], 'people_max', people_max)
  end
  keep(keys)
  local is_full = count_people(keys) >= tonumber(people_max)
  return { redis.call('SCARD', keys[CLAIMS]), is_full and 1 or 0 }
end

-- Takes the users of claims.
local function top_up(keys, users)
  add_claims(keys, users)
  keep(keys)
end

-- Takes version and people_max.
local function open_anew(keys, args)
  redis.call('HSET', keys[LIMIT], 'version', args[1], 'people_max', args[2])
  redis.call('UNLINK', keys[IN_FLIGHT])
  keep(keys)
end

-- Takes version and people_max. Of several who find a gate that knows nothing, the first opens it.
local function open(keys, args)
  if redis.call('EXISTS', keys[LIMIT]) == 0 then
    open_anew(keys, args)
  end
end

-- On the key of a sale's leases; takes holder, wanted and people_max. Gives how many places the holder has. Each lease
-- is a field named by its holder, '<places> <ends at, in ms>'.
local function lease(keys, args)
  local holder, wanted, people_max = args[1], tonumber(args[2]), tonumber(args[3])
  local time = redis.call('TIME')
  local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local of_others, mine, over = 0, 0, {}
  local leases = redis.call('HGETALL', keys[1])
  for i = 1, #leases, 2 do
    local places, ends_ms = string.match(leases[i + 1], '^(%d+) (%d+)$')
    if tonumber(ends_ms) <= now_ms then
      over[#over + 1] = leases[i]
    elseif leases[i] == holder then
      mine = tonumber(places)
    else
      of_others = of_others + tonumber(places)
    end
  end
  call_with('HDEL', keys[1], over)
  local has = math.min(wanted, math.max(mine, people_max - of_others))
  if has > 0 then
    redis.call('HSET', keys[1], holder, string.format('%.0f %.0f', has, now_ms + LEASE_MS))
    redis.call('PEXPIRE', keys[1], LEASE_MS)
  else
    redis.call('HDEL', keys[1], holder)
  end
  return has
end

redis.register_function('miaosha_v2_admit', admit)
redis.register_function('miaosha_v2_update', update)
redis.register_function('miaosha_v2_top_up', top_up)
redis.register_function('miaosha_v2_open', open)
redis.register_function('miaosha_v2_open_anew', open_anew)
redis.register_function('miaosha_v2_lease', lease)
