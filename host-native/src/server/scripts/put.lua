-- Stores an entry, if it is still fresh and what is stored already is what the caller knows.
-- KEYS: table, bell, entry, lock. ARGV: the incarnation, as_of, the number of the entry that may be replaced (or
-- empty), milliseconds to live, the lock's token (or empty), a row that tells others to forget the key, the entry
-- without what stands before it, the number of this node, two flags (are others to forget the key? does the entry
-- yield to whatever replaced or deleted the key since its computation began?), then the tags it depends on.
local domain, as_of = domain_of(ARGV[1]), tonumber(ARGV[2])
if not domain then return {'lost'} end
local floor = redis.call('ZSCORE', V, '!f')
if not floor or tonumber(floor) > as_of then return {'stale'} end
local replaces, yields = string.sub(ARGV[9], 1, 1) == '1', string.sub(ARGV[9], 2, 2) == '1'
if yields and not MUTANT_put_over_deleted then
  local replaced = redis.call('ZSCORE', V, ARGV[6])
  if replaced and tonumber(replaced) > as_of then return {'stale'} end
end
for first = 10, #ARGV, 1000 do
  local tags = {}
  for place = first, math.min(first + 999, #ARGV) do tags[#tags + 1] = ARGV[place] end
  for _, score in ipairs(redis.call('ZMSCORE', V, unpack(tags))) do
    if score and tonumber(score) > as_of then return {'stale'} end
  end
end
if redis.call('TYPE', KEYS[3]).ok == 'string' then
  if redis.call('GETRANGE', KEYS[3], 0, 15) ~= ARGV[3] then return {'other', redis.call('GET', KEYS[3])} end
elseif ARGV[3] ~= '' then
  return {'other', false}
end
local position, before
if replaces then
  position, before = mint(domain, {ARGV[6]})
else
  position, before = after(domain.clock), domain.latest
  add(position, {domain.row})
end
local expiry = now() + tonumber(ARGV[4]) * 1000
local head = string.format('%016.0f%016.0f', tonumber(position), math.min(expiry, 2^53 - 1))
redis.call('SET', KEYS[3], head .. ARGV[7], 'PX', ARGV[4])
if replaces then ring(domain, ARGV[8], before, position, {ARGV[6]}) end
if ARGV[5] ~= '' and redis.call('GET', KEYS[4]) == ARGV[5] then
  redis.call('UNLINK', KEYS[4])
  redis.pcall('PUBLISH', BELL, 'u ' .. KEYS[4])
end
return {'done', position, before}
