//! What is asked: each question one script, which the server runs whole and at once.
//!
//! Owns the keys, the channel and the Lua. Numbers of 64 bits are texts of 20 digits, which compare as they would as numbers. Nothing
//! that was found is trusted to have our form: what somebody else put under a key of ours is an error, never overwritten.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, Script, cmd};

use crate::store::backend::{Claim, Holder, Name, Write};

/// How long the highest fencing number outlives the last lease, where the entry does not outlive it.
const FENCE_KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

/// Longer than anything is kept by a number; the server refuses what overflows.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// One script with its keys and arguments.
pub(super) struct Call<'a> {
    script: &'static Scripted,
    keys: Vec<String>,
    arguments: Vec<Argument<'a>>,
}

enum Argument<'a> {
    Text(String),
    Bytes(&'a [u8]),
}

/// A script and its SHA-1.
struct Scripted {
    text: String,
    hash: String,
}

impl Call<'_> {
    /// By its hash, which the server may not know.
    pub(super) fn by_hash(&self) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&self.script.hash);
        self.rest(command)
    }

    /// By its text, which the server remembers.
    pub(super) fn by_text(&self) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(&self.script.text);
        self.rest(command)
    }

    fn rest(&self, mut command: Cmd) -> Cmd {
        command.arg(self.keys.len()).arg(&self.keys);
        for argument in &self.arguments {
            match argument {
                Argument::Text(text) => command.arg(text),
                Argument::Bytes(bytes) => command.arg(*bytes),
            };
        }
        command
    }
}

/// See [`crate::store::Backend::claim`].
pub(super) fn claim(name: &Name, claim: &Claim) -> Call<'static> {
    let arguments = vec![
        Argument::Text(claim.holder.to_string()),
        Argument::Text(digits(claim.seen)),
        Argument::Text(digits(claim.above)),
        Argument::Text(millis(claim.lease)),
        Argument::Text(millis(FENCE_KEEP)),
    ];
    Call { script: &CLAIM, keys: vec![key(name), lease(name), fence(name)], arguments }
}

/// See [`crate::store::Backend::read`].
pub(super) fn read(name: &Name) -> Call<'static> {
    Call { script: &READ, keys: vec![key(name)], arguments: Vec::new() }
}

/// See [`crate::store::Backend::write`].
pub(super) fn write<'a>(name: &Name, write: &'a Write) -> Call<'a> {
    let arguments = vec![
        Argument::Text(write.holder.to_string()),
        Argument::Text(digits(write.fence)),
        Argument::Text(digits(write.version)),
        Argument::Bytes(&write.bytes),
        Argument::Text(write.keep.map(millis).unwrap_or_default()),
        Argument::Text(u8::from(write.release).to_string()),
        Argument::Text(channel(name)),
        Argument::Text(millis(FENCE_KEEP)),
    ];
    Call { script: &WRITE, keys: vec![key(name), lease(name), fence(name)], arguments }
}

/// See [`crate::store::Backend::release`].
pub(super) fn release(name: &Name, holder: Holder) -> Call<'static> {
    let arguments = vec![Argument::Text(holder.to_string()), Argument::Text(channel(name))];
    Call { script: &RELEASE, keys: vec![lease(name)], arguments }
}

/// See [`crate::store::Backend::count`].
pub(super) fn count(name: &Name, by: u32, keep: Duration) -> Call<'static> {
    let arguments = vec![Argument::Text(by.to_string()), Argument::Text(millis(keep))];
    Call { script: &COUNT, keys: vec![format!("{}:count", key(name))], arguments }
}

/// The key of the entry. What is in braces decides about the slot in a cluster.
pub(super) fn key(name: &Name) -> String {
    format!("bearerd:{{{name}}}")
}

/// The slot of a cluster in which all keys of the entry are: CRC-16 (XMODEM) of what is in braces.
pub(super) fn slot(name: &Name) -> u16 {
    let crc = name.to_string().bytes().fold(0_u16, |crc, byte| {
        (0..8)
            .fold(crc ^ (u16::from(byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    });
    crc % 16384
}

/// Where changes of the entry are told.
pub(super) fn channel(name: &Name) -> String {
    key(name)
}

/// The name whose channel this is.
pub(super) fn name_of_channel(channel: &str) -> Option<Name> {
    let hex = channel.strip_prefix("bearerd:{")?.strip_suffix('}')?;
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let mut name = [0; 32];
    for (at, byte) in name.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(Name(name))
}

pub(super) fn lease(name: &Name) -> String {
    format!("{}:lease", key(name))
}

pub(super) fn fence(name: &Name) -> String {
    format!("{}:fence", key(name))
}

fn digits(number: u64) -> String {
    format!("{number:020}")
}

/// At least one: zero would be refused, or end at once what was just begun.
fn millis(time: Duration) -> String {
    time.min(LONGEST).as_millis().max(1).to_string()
}

static CLAIM: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(&[ENTRY, FENCE, CLAIM_TEXT]));
static READ: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(&[ENTRY, READ_TEXT]));
static WRITE: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(&[ENTRY, FENCE, WRITE_TEXT]));
static RELEASE: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(&[RELEASE_TEXT]));
static COUNT: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(&[COUNT_TEXT]));

impl Scripted {
    fn new(parts: &[&str]) -> Self {
        let text = parts.concat();
        let hash = Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }
}

/// The entry of `KEYS[1]`: nothing, a table, or what is wrong with it. Nobody of ours has written more than 4 MiB: what else is there never
/// crosses the network.
const ENTRY: &str = "
local function strange(what)
  return redis.error_reply('NONSENSE ' .. what .. ' has a form that bearerd never gave it')
end
local function is_number(text)
  return text and #text == 20 and not string.find(text, '%D')
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function read_entry()
  local found = redis.call('HMGET', KEYS[1], 'version', 'fence', 'bytes', 'written')
  if not (found[1] or found[2] or found[3] or found[4]) and redis.call('EXISTS', KEYS[1]) == 0 then
    return nil
  end
  local written = found[4] and tonumber(found[4])
  if not (is_number(found[1]) and is_number(found[2]) and found[3] and #found[3] <= 4194304 and written) then
    return nil, strange('the entry')
  end
  return { version = found[1], fence = found[2], bytes = found[3], age = math.max(now - written, -1) }
end
local entry, bad = read_entry()
if bad then return bad end
";

/// The highest fencing number of `KEYS[3]`, and how it is kept: as long as the entry at least.
const FENCE: &str = "
local function highest_fence()
  local found = redis.call('GET', KEYS[3])
  if found and not is_number(found) then return nil, strange('the fencing number') end
  return found or '00000000000000000000'
end
local function keep_fence(fence, keep)
  local left = redis.call('PTTL', KEYS[1])
  if left == -1 then
    redis.call('SET', KEYS[3], fence)
  else
    redis.call('SET', KEYS[3], fence, 'PX', math.max(left, tonumber(keep)))
  end
end
";

const CLAIM_TEXT: &str = "
local holder, seen, above, length, keep = unpack(ARGV)
if entry and entry.version > seen then
  return { 'newer', entry.version, entry.bytes, entry.age }
end
local highest = above
if entry then
  if entry.version > highest then highest = entry.version end
  if entry.fence > highest then highest = entry.fence end
end
local held = redis.call('GET', KEYS[2])
local fence
if held then
  local number = string.sub(held, 34)
  if #held ~= 53 or not is_number(number) then return strange('the lease') end
  if string.sub(held, 1, 32) ~= holder then
    local left = redis.call('PTTL', KEYS[2])
    if left < 0 then
      redis.call('PEXPIRE', KEYS[2], length)
      left = tonumber(length)
    end
    return { 'taken', left }
  end
  if number >= highest then fence = number end
end
if fence then
  redis.call('PEXPIRE', KEYS[2], length)
else
  local last, bad = highest_fence()
  if bad then return bad end
  if last > highest then highest = last end
  if highest >= '18446744073709551615' then
    return redis.error_reply('NONSENSE the fencing numbers are used up')
  end
  local high, low = tonumber(string.sub(highest, 1, 10)), tonumber(string.sub(highest, 11)) + 1
  if low == 10000000000 then high, low = high + 1, 0 end
  fence = string.format('%010.0f%010.0f', high, low)
  redis.call('SET', KEYS[2], holder .. ' ' .. fence, 'PX', length)
  keep_fence(fence, keep)
end
if entry then
  return { 'granted', fence, entry.version, entry.bytes, entry.age }
end
return { 'granted', fence }
";

const READ_TEXT: &str = "
if entry then
  return { entry.version, entry.bytes, entry.age }
end
return {}
";

const WRITE_TEXT: &str = "
local holder, fence, version, bytes, keep, release, channel, fence_keep = unpack(ARGV)
local last, bad = highest_fence()
if bad then return bad end
local outrun = entry and entry.fence > fence
local rings = false
if not outrun then
  redis.call('HSET', KEYS[1], 'version', version, 'fence', fence, 'bytes', bytes, 'written', string.format('%.0f', now))
  if keep == '' then
    redis.call('PERSIST', KEYS[1])
  else
    redis.call('PEXPIRE', KEYS[1], keep)
  end
  if last > fence then keep_fence(last, fence_keep) else keep_fence(fence, fence_keep) end
  rings = not entry or entry.version ~= version
end
if release == '1' then
  local held = redis.call('GET', KEYS[2])
  if held and string.sub(held, 1, 32) == holder then
    redis.call('DEL', KEYS[2])
    rings = true
  end
end
if rings then redis.call('PUBLISH', channel, version) end
return outrun and 'outrun' or 'done'
";

const RELEASE_TEXT: &str = "
local holder, channel = unpack(ARGV)
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, 32) == holder then
  redis.call('DEL', KEYS[1])
  redis.call('PUBLISH', channel, '')
end
return 'done'
";

const COUNT_TEXT: &str = "
local by, keep = unpack(ARGV)
if by == '0' then return redis.call('GET', KEYS[1]) or '0' end
local sum = redis.call('INCRBY', KEYS[1], by)
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], keep) end
return sum
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_leads_back_to_its_name_and_nothing_else_does() {
        let name = Name(std::array::from_fn(|at| at as u8 * 7));
        assert_eq!(name_of_channel(&channel(&name)), Some(name));
        for strange in ["", "bearerd:{}", &channel(&name)[1..], &format!("{}x", channel(&name)), "bearerd:{é}"] {
            assert_eq!(name_of_channel(strange), None, "{strange}");
        }
        assert_eq!(name_of_channel(&format!("bearerd:{{{}}}", "é".repeat(32))), None);
    }

    #[test]
    fn times_are_at_least_one_and_never_overflow() {
        assert_eq!(millis(Duration::ZERO), "1");
        assert_eq!(millis(Duration::from_millis(1500)), "1500");
        assert_eq!(millis(Duration::MAX), "315360000000");
        assert_eq!(digits(u64::MAX), "18446744073709551615");
    }
}
