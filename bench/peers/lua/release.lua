-- Compare and delete: what Redis's own documentation recommends for a lock.
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
