-- Uses the library from LuaJIT's ffi, loaded at run time. The declarations are the installed header, preprocessed.
--
--     cc -E -P gptz.h | luajit luajit_test.lua LIBRARY

local ffi = require("ffi")
ffi.cdef(io.read("*a"))
local gptz = ffi.load(arg[1])
-- LuaJIT must not compile ffi calls that call back into Lua (its manual, "FFI Semantics", "Callbacks").
jit.off()

local OK, METHOD, CORRUPT, MISMATCH, CANCELLED, BLOCK_LOG, CONTENT_LENGTH = 0, 2, 9, 10, 12, 6, 1
local text = string.rep("The cat sat on the mat; the dog sat on the log. ", 40)

local function check(status)
    if status ~= OK then
        error({ status = status, text = ffi.string(gptz.gptz_status_name(status)) .. ": " .. ffi.string(gptz.gptz_last_error()) })
    end
end

local function fails(expected, what, f, ...)
    local ok, failure = pcall(f, ...)
    assert(not ok, what .. " did not fail")
    assert(type(failure) == "table", failure)
    assert(failure.status == expected, what .. ": " .. failure.text)
    return failure.text
end

local function create(method)
    local out = ffi.new("gptz *[1]")
    check(gptz.gptz_create(method, out))
    return ffi.gc(out[0], gptz.gptz_free)
end

local function compress(handle, data)
    local cap, size = gptz.gptz_compress_bound(#data), ffi.new("size_t[1]")
    local out = ffi.new("uint8_t[?]", cap)
    check(gptz.gptz_compress(handle, data, #data, out, cap, size))
    return ffi.string(out, size[0])
end

local function decompress(handle, frame)
    local content, size = ffi.new("uint64_t[1]"), ffi.new("size_t[1]")
    check(gptz.gptz_decompressed_size(frame, #frame, content))
    local out = ffi.new("uint8_t[?]", content[0] + 1)
    check(gptz.gptz_decompress(handle, frame, #frame, out, content[0], size))
    return ffi.string(out, size[0])
end

-- Round trips.
local handle = create(nil)
for _, data in ipairs({ "", "x", text, string.rep("\0", 1000) }) do
    assert(decompress(handle, compress(handle, data)) == data)
end
local frame = compress(handle, text)
assert(#frame < #text / 2)

-- What a frame states, and what a call took.
local value, length = ffi.new("int64_t[1]"), ffi.new("size_t[1]")
check(gptz.gptz_frame_info(frame, #frame, CONTENT_LENGTH, value))
assert(value[0] == #text)
gptz.gptz_frame_method(frame, #frame, nil, 0, length)
local name = ffi.new("char[?]", length[0] + 1)
check(gptz.gptz_frame_method(frame, #frame, name, length[0] + 1, length))
assert(ffi.string(name) == ffi.string(gptz.gptz_method(handle)))
check(gptz.gptz_compressed_size(handle, text, #text, length))
assert(length[0] == #frame)
local parts, lengths = ffi.new("const void *[2]", text, text), ffi.new("size_t[2]", 10, 20)
local joined = ffi.new("uint8_t[1000]")
check(gptz.gptz_compress_parts(handle, parts, lengths, 2, joined, 1000, length))
assert(decompress(handle, ffi.string(joined, length[0])) == text:sub(1, 10) .. text:sub(1, 20))
local stats = ffi.new("gptz_stats")
stats.size = ffi.sizeof(stats)
check(gptz.gptz_stats_get(handle, stats))
assert(stats.bytes_out == 30 and stats.can_learn == 1)

-- A stream.
local from, to, left = ffi.new("gptz_in", text, #text, 0), ffi.new("gptz_out", joined, 1000, 0), ffi.new("size_t[1]")
check(gptz.gptz_stream_compress(handle, to, from, 2, left))
assert(left[0] == 0 and ffi.string(joined, to.pos) == frame)
local content = ffi.new("uint8_t[?]", #text)
from, to = ffi.new("gptz_in", frame, #frame, 0), ffi.new("gptz_out", content, #text, 0)
check(gptz.gptz_stream_decompress(handle, to, from, left))
assert(left[0] == 0 and ffi.string(content, to.pos) == text)
check(gptz.gptz_stream_reset(handle))

-- Errors.
assert(fails(METHOD, "a method that does not exist", create, "cfg:hidden=33"):find("33"))
local changed = frame:sub(1, -21) .. string.char(bit.bxor(frame:byte(-20), 1)) .. frame:sub(-19)
fails(CORRUPT, "a changed frame", decompress, handle, changed)
assert(decompress(handle, frame) == text)

-- The message of a handle, levels, memory.
assert(#ffi.string(gptz.gptz_handle_error(handle)) > 0)
assert(gptz.gptz_level_method(0) == nil and ffi.string(gptz.gptz_level_method(1)):find("^mix:"))
local bytes = ffi.new("uint64_t[1]")
check(gptz.gptz_memory_estimate(handle, bytes))
assert(bytes[0] > 100000)

-- Progress, and cancelling a call.
local reports, cancel, last = 0, false, -1
local callback = ffi.cast("gptz_progress_fn", function(_, done, total)
    assert(tonumber(done) >= last)
    reports, last = reports + 1, tonumber(done)
    return (cancel and done * 2 >= total) and 1 or 0
end)
local data = string.rep(text, 10)
check(gptz.gptz_set(handle, BLOCK_LOG, 12))
check(gptz.gptz_set_progress(handle, callback, nil))
local whole = compress(handle, data)
assert(reports > 1 and last == #data)
cancel, last = true, -1
fails(CANCELLED, "a cancelled call", compress, handle, data)
cancel, last = false, -1
assert(compress(handle, data) == whole)
check(gptz.gptz_set_progress(handle, nil, nil))
callback:free()

-- A reader.
local reader, count = ffi.new("gptz_reader *[1]"), ffi.new("uint64_t[1]")
check(gptz.gptz_reader_open_memory(handle, frame, #frame, reader))
check(gptz.gptz_reader_size(reader[0], count))
assert(count[0] == #text)
check(gptz.gptz_reader_read(reader[0], 5, content, 10, left))
assert(ffi.string(content, left[0]) == text:sub(6, 15))
gptz.gptz_reader_free(reader[0])

-- A snapshot as base.
local based = create(nil)
-- Nothing that anybody knows before it was shown: the start of a base64 of SHA-512 of "gptz".
local message = "OIAgOSg6iAmtWfhhSY4k0e+BeB0ujDhVyKr8R4NgAffKtgYp"
local samples = message:rep(40)
check(gptz.gptz_feed(based, samples, #samples))
local snapshot = ffi.new("gptz_snapshot *[1]")
check(gptz.gptz_snapshot_take(based, snapshot))
local size = ffi.new("size_t[1]")
assert(gptz.gptz_snapshot_save(snapshot[0], nil, 0, size) ~= 0)
local portable = ffi.new("uint8_t[?]", size[0])
check(gptz.gptz_snapshot_save(snapshot[0], portable, size[0], size))
gptz.gptz_snapshot_free(snapshot[0])
check(gptz.gptz_snapshot_load(portable, size[0], snapshot))
check(gptz.gptz_set_base(based, snapshot[0]))
gptz.gptz_snapshot_free(snapshot[0])
local small = compress(based, message)
assert(#small + 16 < #compress(handle, message))
assert(decompress(based, small) == message)
fails(MISMATCH, "a frame whose base is not set", decompress, handle, small)

print("ok")
