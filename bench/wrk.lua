-- Prints wrk's figures as one line of JSON, and sends a body of UPLOAD_BYTES if that is not 0.
local upload = tonumber(os.getenv("UPLOAD_BYTES") or "0")
if upload > 0 then
  wrk.method = "PUT"
  wrk.body = string.rep("x", upload)
end

function done(summary, latency, requests)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %.6f, "failed": %d, "p50": %.1f, "p99": %.1f, "p999": %.1f}',
    summary.requests, summary.duration / 1e6,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
