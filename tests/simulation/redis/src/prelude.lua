-- What scripts find, and how they are run. It is given: what runs a command, and returns an error or fails with it;
-- what tells the text of such a failure; and what tells which line of the script runs.
local try, run, text_of, line = ...

redis = {pcall = try, call = run}

function redis.status_reply(text) return {ok = text} end

function redis.error_reply(text)
  local rest = string.match(text, '^%-(.*)$') or text
  return {err = string.find(rest, ' ', 1, true) and rest or 'ERR ' .. rest}
end

-- Whoever catches the failure of a command gets its text.
local catch = pcall
local function caught(is_done, cause, ...)
  if not is_done then
    cause = text_of(cause) or cause
    if type(cause) == 'table' and type(cause.err) == 'string' then cause = cause.err end
  end
  return is_done, cause, ...
end
function pcall(...) return caught(catch(...)) end

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
  local text = text_of(cause)
  if text then return {err = text, line = line()} end
  -- A defect of the server, not of the script.
  if type(cause) == 'userdata' then return cause end
  if type(cause) ~= 'table' then cause = {err = 'ERR ' .. tostring(cause)} end
  cause.line = line()
  return cause
end

return function(script) return xpcall(script, explain) end
