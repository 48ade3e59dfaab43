"""What the ledger has Redis do in one step each: Lua for Redis 6.2 and later.

An entry of the queue and of the log is {c: client, u: user, e: event}. All keys of a script are in one slot, and what
it writes reaches replicas and the file as one transaction. Scripts are sent whole each time, so that none can be
missing after a failover: their text is a fraction of what they carry.

Knows: the form of streams, sets and hashes, how sums decay and merge (as `service.evidence` does). Does not know: which
keys there are, who calls.
"""

_EFFECTS = "redis.replicate_commands()\n"
"""Redis 6.2 would not let a script write after it has asked for what differs on a replica; 7 knows no other way."""

APPEND = (
    _EFFECTS
    + """
-- KEYS: queue, what was seen in this window, what was seen in the one before
-- ARGV: the window in ms, most that is seen in one, most that may wait, life of the queue in s; then for each entry
-- once, client, user and event
-- Gives {how many wait, 1 or 0 for each entry}, the latter empty where too many would wait.
local queue, new, old = KEYS[1], KEYS[2], KEYS[3]
local window, most, limit, ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local waiting, told = redis.call('XLEN', queue), {}
if waiting + (#ARGV - 4) / 4 > limit then
  return {waiting, told}
end
local left = redis.call('PTTL', new)
if left >= 0 and (left <= window or redis.call('SCARD', new) >= most) then
  redis.call('UNLINK', old)
  redis.call('RENAME', new, old)
  left = -2
end
for i = 5, #ARGV, 4 do
  if redis.call('SISMEMBER', old, ARGV[i]) == 1 or redis.call('SADD', new, ARGV[i]) == 0 then
    told[#told + 1] = 0
  else
    told[#told + 1] = 1
    waiting = waiting + 1
    redis.call('XADD', queue, '*', 'c', ARGV[i + 1], 'u', ARGV[i + 2], 'e', ARGV[i + 3])
  end
end
if left < 0 then
  redis.call('PEXPIRE', new, 2 * window)
end
redis.call('EXPIRE', queue, ttl)
return {waiting, told}
"""
)

WAITING = (
    _EFFECTS
    + """
-- KEYS: queue
-- ARGV: consumer, most, silence in ms, and for how many ms consumers must be idle to be removed (0: none are)
-- Gives {how many wait, the entries}.
local queue, consumer, most, silent, gone = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local found = {}
local pending = redis.pcall('XPENDING', queue, 'fold', 'IDLE', silent, '-', '+', most)
if pending.err then
  if not string.find(pending.err, 'NOGROUP') then
    return pending
  end
  redis.call('XGROUP', 'CREATE', queue, 'fold', '0', 'MKSTREAM')
  pending = {}
end
for _, each in ipairs(pending) do
  local entry = redis.call('XRANGE', queue, each[1], each[1])[1]
  if entry then
    redis.call('XCLAIM', queue, 'fold', consumer, silent, each[1], 'JUSTID')
    found[#found + 1] = entry
  else
    redis.call('XACK', queue, 'fold', each[1])
  end
end
if #found < most then
  local streams =
    redis.call('XREADGROUP', 'GROUP', 'fold', consumer, 'COUNT', most - #found, 'STREAMS', queue, '>')
  if streams then
    for _, entry in ipairs(streams[1][2]) do
      found[#found + 1] = entry
    end
  end
end
if gone > 0 then
  for _, each in ipairs(redis.call('XINFO', 'CONSUMERS', queue, 'fold')) do
    local told = {}
    for i = 1, #each, 2 do
      told[each[i]] = each[i + 1]
    end
    if told.pending == 0 and told.idle > gone and told.name ~= consumer then
      redis.call('XGROUP', 'DELCONSUMER', queue, 'fold', told.name)
    end
  end
end
return {redis.call('XLEN', queue), found}
"""
)

_SUMS = """
-- What both scripts do with sums: KEYS[1] is how often scopes were taken back, ARGV[2] and ARGV[3] the half-lives in s.
local short, long = tonumber(ARGV[2]), tonumber(ARGV[3])
local SUMS = '<ddddd'

local function read(bytes)
  if not bytes or #bytes < 40 then
    return nil
  end
  local found = {struct.unpack(SUMS, bytes)}
  found[6] = string.sub(bytes, 41)
  return found
end

local function written(found)
  return struct.pack(SUMS, unpack(found, 1, 5)) .. found[6]
end

local function later(found, at)
  local passed = at - found[5]
  if passed > 0 then
    local s, l = 0.5 ^ (passed / short), 0.5 ^ (passed / long)
    found[1], found[2], found[3], found[4] = found[1] * s, found[2] * l, found[3] * s, found[4] * l
    found[5] = at
  end
  return found
end

local function turn(scope) -- in which of a scope's turns we are: each ends when it is taken back
  local found = redis.pcall('HGET', KEYS[1], scope)
  return type(found) == 'string' and found or '0'
end
"""

FOLD = (
    _EFFECTS
    + _SUMS
    + """
-- KEYS: how often scopes were taken back, queue, log, people, then counts of clients, evidence and parts
-- ARGV: consumer, the half-lives, life of evidence in s, cap, its time in s, most of the log, most
-- fields of a key and how many are left where there are more, most people, what their keys begin with, how many
-- queries follow and these, the first of them '';
-- then for each entry its id, the place of its client's count among KEYS (0: not capped), its sums, the event that the
-- log gets ('': as it was put down) and which query before it (0: none).
-- Sums are of each key its place, that of its client's count (0: not capped), that of its parts (0: it is no scope) and
-- how many fields follow, in two bytes each; of each field the length of its name and of its bytes in two bytes each,
-- then both. As one argument they cost a tenth of what they cost one by one.
-- A field of a scope's parts is {key of a wider scope, NUL, its turn, NUL} for each that was added to, NUL, field.
-- Gives {how many wait, 'folded', 'capped' or 'gone' for each entry}.
local queue, log, people, consumer, ttl = KEYS[2], KEYS[3], KEYS[4], ARGV[1], ARGV[4]
local most_people, of_people = tonumber(ARGV[10]), ARGV[11]
local cap, cap_s, kept, most, left = tonumber(ARGV[5]), ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])

local function merged(one, other)
  local at = math.max(one[5], other[5])
  later(one, at)
  later(other, at)
  for i = 1, 4 do
    one[i] = one[i] + other[i]
  end
  return one
end

local function trim(key)
  local all, standing, latest = redis.call('HGETALL', key), {}, 0
  for i = 1, #all, 2 do
    local found = read(all[i + 1]) or {0, 0, 0, 0, 0}
    latest = math.max(latest, found[5])
    standing[#standing + 1] = {all[i], found}
  end
  for _, each in ipairs(standing) do
    each[3] = later(each[2], latest)[4]
  end
  table.sort(standing, function(a, b)
    if a[3] ~= b[3] then
      return a[3] < b[3]
    end
    return a[1] < b[1]
  end)
  for i = 1, #standing - left do
    redis.call('HDEL', key, standing[i][1])
  end
end

local function pended(id)
  local found = redis.pcall('XPENDING', queue, 'fold', id, id, 1, consumer)
  return not found.err and found[1]
end

local function counts(place)
  if place == 0 then
    return true
  end
  local before = tonumber(redis.call('GET', KEYS[place]) or '0')
  if before >= cap then
    return false
  end
  redis.call('INCR', KEYS[place])
  if before == 0 then
    redis.call('EXPIRE', KEYS[place], cap_s)
  end
  return true
end

local function keep(entry, event)
  local parts = {unpack(entry)}
  for i = 1, #parts, 2 do
    if parts[i] == 'e' and event ~= '' then
      parts[i + 1] = event
    end
  end
  redis.call('XADD', log, 'MAXLEN', '~', kept, '*', unpack(parts))
end

local told, added, noted = {}, {}, {[0] = true}

local function add(place, field, bytes)
  local fields, found = added[place], read(bytes)
  fields[field] = fields[field] and merged(fields[field], found) or found
end

local at = 13 + tonumber(ARGV[12])
while at <= #ARGV do
  local id, place, sums = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  local outcome = 'gone'
  if pended(id) then
    local entry = redis.call('XRANGE', queue, id, id)[1]
    if entry then
      outcome = counts(place) and 'folded' or 'capped'
    end
    if outcome == 'folded' then
      local from, reached, last = 1, {}, {}
      while from < #sums do
        local key, count, parts, size, begun = struct.unpack('<HHHH', sums, from)
        local counted = counts(count)
        if counted then
          added[key] = added[key] or {}
        end
        if counted and parts > 0 then
          reached[#reached + 1], last = {key, parts}, {}
        end
        from = begun
        for _ = 1, size do
          local name, bytes, start = struct.unpack('<HH', sums, from)
          from = start + name + bytes
          if counted then
            local field, content = string.sub(sums, start, start + name - 1), string.sub(sums, start + name, from - 1)
            add(key, field, content)
            if parts > 0 then
              last[field] = content
            end
          end
        end
      end
      local path = ''
      for i = #reached, 2, -1 do
        local wider, parts = KEYS[reached[i][1]], reached[i - 1][2]
        path = wider .. '\\0' .. turn(wider) .. '\\0' .. path
        added[parts] = added[parts] or {}
        for field, content in pairs(last) do
          add(parts, path .. '\\0' .. field, content)
        end
      end
      if tonumber(kept) > 0 and #entry[2] == 6 then -- else it is none of ours
        local query = tonumber(ARGV[at + 4])
        if not noted[query] then
          keep(entry[2], ARGV[13 + query])
          noted[query] = true
        end
        keep(entry[2], ARGV[at + 3])
      end
    end
    redis.call('XACK', queue, 'fold', id)
    redis.call('XDEL', queue, id)
  end
  told[#told + 1] = outcome
  at = at + 5
end

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
if type(redis.pcall('ZCARD', people)) == 'table' then
  redis.call('DEL', people)
end
for place, fields in pairs(added) do
  local key = KEYS[place]
  if type(redis.pcall('HLEN', key)) == 'table' then
    redis.call('DEL', key) -- somebody else's: an error here would leave the step half done
  end
  local names = {}
  for field in pairs(fields) do
    names[#names + 1] = field
  end
  for first = 1, #names, 500 do -- no call takes more than some thousand arguments
    local last, changed = math.min(#names, first + 499), {}
    for i, bytes in ipairs(redis.call('HMGET', key, unpack(names, first, last))) do
      local field, known = names[first + i - 1], read(bytes)
      local found = known and merged(known, fields[field]) or fields[field]
      changed[2 * i - 1] = field
      changed[2 * i] = written(found)
    end
    redis.call('HSET', key, unpack(changed))
  end
  if redis.call('HLEN', key) > most then
    trim(key)
  end
  redis.call('EXPIRE', key, ttl)
  if string.sub(key, 1, #of_people) == of_people then
    redis.call('ZADD', people, now, string.sub(key, #of_people + 1))
  end
end
redis.call('ZREMRANGEBYSCORE', people, '-inf', now - tonumber(ttl)) -- their profiles are gone
redis.call('ZREMRANGEBYRANK', people, 0, -(most_people + 1))
redis.call('EXPIRE', people, ttl)
redis.pcall('XTRIM', log, 'MINID', '~', math.floor((now - tonumber(ttl)) * 1000))
redis.call('EXPIRE', log, ttl)
redis.call('EXPIRE', KEYS[1], ttl) -- no turn may begin anew while there are parts of an old one
return {redis.call('XLEN', queue), told}
"""
)

PROFILES = """
-- KEYS: of people. Gives the hash of each, empty where there is none or something else.
local found = {}
for i, key in ipairs(KEYS) do
  local profile = redis.pcall('HGETALL', key)
  found[i] = profile.err and {} or profile
end
return found
"""

TAKE_BACK = (
    _EFFECTS
    + _SUMS
    + """
-- KEYS: how often scopes were taken back, the scope, its parts, then each wider scope that parts tell of and its parts
-- ARGV: least sum that is kept, the half-lives, life of evidence in s
-- Gives 1 or 0, whether there was anything; where wider scopes are not among KEYS nothing is done, and it gives all of
-- them.
local least, scope, parts, ttl = tonumber(ARGV[1]), KEYS[2], KEYS[3], ARGV[4]
local parts_of, wider, missing, found = {}, {}, false, {}
for i = 4, #KEYS, 2 do
  parts_of[KEYS[i]] = KEYS[i + 1]
end

local all = redis.pcall('HGETALL', parts)
for i = 1, #all, 2 do
  local path, field = string.match(all[i], '^(.-%z)%z(.*)$')
  local part = path and read(all[i + 1])
  if part then
    found[#found + 1] = {path, field, part}
    for key in string.gmatch(path, '([^%z]+)%z[^%z]+%z') do
      wider[key] = true
      missing = missing or not parts_of[key]
    end
  end
end
if missing then
  local names = {}
  for key in pairs(wider) do
    names[#names + 1] = key
  end
  return names
end

local function less(key, field, part)
  local known = read(redis.pcall('HGET', key, field))
  if known then
    local at, most = math.max(known[5], part[5]), 0
    later(known, at)
    later(part, at)
    for i = 1, 4 do
      known[i] = math.max(0, known[i] - part[i])
      most = math.max(most, known[i])
    end
    if most < least then
      redis.call('HDEL', key, field)
    else
      redis.call('HSET', key, field, written(known))
    end
  end
end

for _, each in ipairs(found) do
  local path, field, part = unpack(each)
  for key, before, rest in string.gmatch(path, '([^%z]+)%z([^%z]+)%z()') do
    if before ~= turn(key) then
      break -- what that scope had was taken off the wider ones with it
    end
    less(key, field, part)
    less(parts_of[key], string.sub(path, rest) .. '\\0' .. field, part)
  end
end
redis.call('HINCRBY', KEYS[1], scope, 1)
redis.call('EXPIRE', KEYS[1], ttl)
return redis.call('DEL', scope) + redis.call('DEL', parts) > 0 and 1 or 0
"""
)

OLDEST = """
-- KEYS: queue. Gives {how many wait, for how many ms the oldest has by the clock that its id is of}.
local first, now = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1], redis.call('TIME')
local since = first and tonumber(string.match(first[1], '^%d+'))
return {redis.call('XLEN', KEYS[1]), since and math.max(0, now[1] * 1000 + math.floor(now[2] / 1000) - since) or 0}
"""

LOGGED = """
-- KEYS: log. ARGV: from where, most. Gives the entries.
return redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
"""

FORGET = (
    _EFFECTS
    + """
-- KEYS: queue or log. ARGV: user, from where, most that is looked at, 1 if it is the queue
-- Gives {how many were deleted, the last id that was looked at, '' at the end}.
local page, deleted, last = redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3]), 0, ''
for _, entry in ipairs(page) do
  last = entry[1]
  for i = 1, #entry[2], 2 do
    if string.find(entry[2][i + 1], ARGV[1], 1, true) then
      if ARGV[4] == '1' then
        redis.pcall('XACK', KEYS[1], 'fold', last)
      end
      deleted = deleted + redis.call('XDEL', KEYS[1], last)
    end
  end
end
return {deleted, last}
"""
)
