-- What scripts find, and how they are run. It is given the function that runs a command, and one that says which line
-- of the script runs.
local run, line = ...

redis = {pcall = run}

function redis.call(...)
  local reply = run(...)
  if type(reply) == 'table' and reply.err then error(reply, 0) end
  return reply
end

function redis.status_reply(text) return {ok = text} end

function redis.error_reply(text)
  local rest = string.match(text, '^%-(.*)$') or text
  return {err = string.find(rest, ' ', 1, true) and rest or 'ERR ' .. rest}
end

-- What reads files, or would not do the same each time.
for _, name in ipairs({'dofile', 'loadfile', 'print', 'newproxy', 'collectgarbage', 'gcinfo'}) do _G[name] = nil end
math.random, math.randomseed = nil, nil

setmetatable(_G, {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
  __newindex = function() error('Attempt to modify a readonly table', 2) end,
})

local function explain(cause)
  -- A defect of the server, not of the script.
  if type(cause) == 'userdata' then return cause end
  if type(cause) ~= 'table' then cause = {err = 'ERR ' .. tostring(cause)} end
  cause.line = line()
  return cause
end

return function(script) return xpcall(script, explain) end
