-- Gives a lock back, with its token; otherwise as lock.lua, whose KEYS and ARGV it has.
local reply = redis.call('GET', KEYS[1])
if reply then
    return reply
end
local what = '"resource":"' .. ARGV[4] .. '","token":"' .. ARGV[1] .. '"'
if redis.call('GET', KEYS[2]) == ARGV[1] then
    redis.call('DEL', KEYS[2])
    redis.call('XADD', KEYS[4], '*', 'event', '{"type":"lock.ended","version":2,' .. what .. '}')
    reply = '{"status":"RELEASED",' .. what .. '}'
else
    reply = '{"status":"NOT_RESERVED",' .. what .. '}'
end
redis.call('SET', KEYS[1], reply, 'EX', ARGV[3])
return reply
