-- Shared by the scripts below, which begin with it. KEYS[1] is the table of the domain, KEYS[2] the bell.
local V, BELL = KEYS[1], KEYS[2]

-- Lua prints large numbers short; positions are whole numbers below 2^53.
local function whole(number) return string.format('%.0f', number) end

-- Which process, in which role, this is: changes with each start and each promotion.
local function binding()
  local info = redis.pcall('INFO', 'replication')
  local text = type(info) == 'string' and info or ''
  local id = string.match(text, 'master_replid:(%x+)')
  return id and '!r:' .. id
end

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- What the last row of the table says, if it is a clock.
local function read_clock()
  local last = redis.call('ZRANGE', V, -1, -1, 'WITHSCORES')
  local incarnation, latest = string.match(last[1] or '', '^~c:(%x+):(%d+)$')
  local clock = tonumber(last[2] or '')
  if not incarnation or #incarnation ~= 32 or clock >= 2^53 - 2^20 then return nil end
  return {row = last[1], incarnation = incarnation, latest = latest, clock = clock}
end

-- The domain, if its table is of this incarnation and was written by this process.
local function domain_of(incarnation)
  local domain = read_clock()
  if not domain or (domain.incarnation ~= incarnation and not MUTANT_no_inc_check) then return nil end
  local bound = binding()
  if not MUTANT_ignore_binding and not (bound and redis.call('ZSCORE', V, bound)) then return nil end
  return domain
end

local function add(position, members)
  local batch = {}
  for _, member in ipairs(members) do
    batch[#batch + 1] = position
    batch[#batch + 1] = member
    if #batch >= 2000 then
      redis.call('ZADD', V, unpack(batch))
      batch = {}
    end
  end
  if #batch > 0 then redis.call('ZADD', V, unpack(batch)) end
end

-- A full server refuses what makes it grow only as the first write of a script: invalidations must get through. A
-- replica, and a primary that has too few replicas left, refuses this too.
local function write_first() redis.call('ZREM', V, '!') end

-- Later than every earlier one, and near the time; what is between two of them is nobody's business.
local function after(clock)
  return whole(math.max(now(), clock + 1))
end

-- The next position, for rows that nodes must learn of; and that of the rows before.
local function mint(domain, members)
  local position, before, row = after(domain.clock), domain.latest, domain.row
  domain.clock, domain.latest = tonumber(position), position
  domain.row = '~c:' .. domain.incarnation .. ':' .. position
  -- In this order: a full server refuses the first, and the table is as it was.
  redis.call('ZADD', V, position, domain.row)
  redis.call('ZREM', V, row)
  -- Mistakes, for tests of the tests: the time as it is; that of a machine that is five minutes behind.
  if MUTANT_clock_back then position = whole(now()) end
  if MUTANT_client_clock then position = whole(now() - 300000000) end
  add(position, members)
  return position, before
end

-- Tells whoever listens. A message too long to be worth it says only that there is something to be read.
local function ring(domain, origin, before, position, members)
  local parts, bytes = {}, 0
  for _, member in ipairs(members) do
    parts[#parts + 1] = #member .. ':' .. member
    bytes = bytes + #member
  end
  local rows = bytes > 16384 and 'x' or table.concat(parts)
  local head = table.concat({'i', domain.incarnation, origin, before, position, ''}, ' ')
  redis.pcall('PUBLISH', BELL, head .. rows)
end

-- Notes who invalidated what, for people who ask later; nothing else depends on it, so a server may refuse it. Of very
-- many tags the first are noted.
local function note(history, node, position, members)
  if not history then return end
  local tags, bytes = {}, 0
  for _, member in ipairs(members) do
    if string.sub(member, 1, 1) == 't' and bytes < 16384 then
      tags[#tags + 1] = (#member - 1) .. ':' .. string.sub(member, 2)
      bytes = bytes + #member
    end
  end
  redis.pcall('XADD', history, 'MAXLEN', '~', '1000', position .. '-0', 'node', node, 'tags', table.concat(tags))
end
