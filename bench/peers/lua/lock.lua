-- Takes a lock: the stored reply where the key has one; else the decision, a fencing token, the event, and the reply
-- kept under the key. KEYS: receipt, lock, fence, stream. ARGV: token, milliseconds to live, seconds a reply is kept, name.
local reply = redis.call('GET', KEYS[1])
if reply then
    return reply
end
local holder = redis.call('GET', KEYS[2])
if holder then
    reply = '{"status":"TAKEN","resource":"' .. ARGV[4] .. '"}'
else
    local fence = redis.call('INCR', KEYS[3])
    redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
    local what = '"resource":"' .. ARGV[4] .. '","requester":"bench","token":"' .. ARGV[1]
        .. '","fencing_token":' .. fence .. ',"ttl_milliseconds":' .. ARGV[2]
    redis.call('XADD', KEYS[4], '*', 'event', '{"type":"lock.active","version":1,' .. what .. '}')
    reply = '{"status":"ACQUIRED",' .. what .. '}'
end
redis.call('SET', KEYS[1], reply, 'EX', ARGV[3])
return reply
